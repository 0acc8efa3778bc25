"""Methods put together for what a user wants.

==============================  ====================================================================
`order`                         what is wanted, and the two kinds of training
`material`                      what it is learned from: pairs, images
`catalogue`                     every method by its name
`paths`, `bootstrap`, `matching`, `adversarial`  the recipes, by the family of their methods
==============================  ====================================================================
"""
