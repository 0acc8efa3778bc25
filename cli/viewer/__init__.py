"""Pages to look at runs, students and models in a browser, without any network.

===================  ===============================================================================================
`pages.py`           which page belongs to a path
`run_page.py`        the page of a run, and report.html; `run_curves.py`: its curves
`gallery_page.py`    the page of a folder of runs; `gallery.py`: which runs there are, and what is known of each
`downloads.py`       the object of a run in other formats
`student_page.py`    the page of a distilled student
`file_page.py`       the page of any file with a model
`live_page.py`       the page of a run that goes on (`cli/scenes/live.py` feeds it)
`page.py`            a page as one HTML file under a strict Content-Security-Policy; the parts that pages share
`charts.py`          a curve as inline SVG
`markup.py`          HTML out of escaped pieces; `words.py`: numbers and settings as people write them
`server.py`          a page at 127.0.0.1, and nothing else
`assets/`            the style, the scripts, and the vendored three.js with its licence
===================  ===============================================================================================
"""
