"""What a run does by default: for each stage a recipe for each kind of teacher, in two presets.

================  ==============================================================
`recipe`          what a recipe says, and how a method changes it
`small_teachers`  the recipes for teachers made for a CPU
`large_teachers`  those for teachers of the size of Stable Diffusion
`choosing`        which of them a stage gets
================  ==============================================================
"""
