"""How good a student is.

==============================  ====================================================================
`evaluation`, `reference`       between two sets of images; features of real ones
`health`                        signs that a training goes wrong
==============================  ====================================================================
"""
