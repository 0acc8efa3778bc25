"""How a student learns.

==============================  ====================================================================
`loop`                          of all regressions, and stages
`smoothed`                      a run of the engine, and the average of its weights
`batches`                       what a batch may hold
`pairs`                         the teacher's own trajectories in one file
`real_images`                   pictures with captions and views
==============================  ====================================================================
"""
