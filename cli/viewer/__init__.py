"""Pages to look at objects and runs in a browser, without any network.

================  ==================================================================================================
`markup.py`       HTML out of escaped pieces
`charts.py`       curves as inline SVG
`page.py`         a page: one self-contained file under a strict Content-Security-Policy
`model.py`        any mesh file as GLB bytes, and what is to be said about it
`run_page.py`     what the page of a run shows; `report.html`
`student_page.py` what the page of a distilled student shows
`server.py`       the page at 127.0.0.1, and nothing else
`assets/`         the style, the scripts, and the vendored three.js with its licence
================  ==================================================================================================
"""
