"""Scoresmith in Blender: `packing.py` makes the zip that Blender installs, `addon/` is what is inside.

The add-on runs in Blender's own Python, where nothing of ours is installed: it imports nothing of ours, and runs the
`scoresmith` command of the environment that has made the zip.
"""
