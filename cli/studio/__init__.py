"""`scoresmith studio`: a page on which objects are ordered, seen as they form, found again and taken away.

===============  ==================================================================================================
`settings.py`    what can be set on the page: options of `scoresmith generate`, read by its own parser
`workshop.py`    what was ordered, and the process that makes one object after the other
`worker.py`      what that process does
`page.py`        the page: the form and the queue above the gallery of `scoresmith view FOLDER`
`server.py`      what its server answers and does
===============  ==================================================================================================
"""
