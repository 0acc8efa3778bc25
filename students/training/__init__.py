"""How a student learns.

==============================  ====================================================================
`loop`                          of all regressions, and stages
`batches`                       what a batch may hold
`pairs`                         the teacher's own trajectories in one file
`real_images`                   pictures with captions and views
==============================  ====================================================================
"""
