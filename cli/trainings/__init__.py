"""A teacher becomes a student.

===================  ===============================================================================
`distillation`       the course of a training, alone or as one of several `processes`
`looks`              what discriminators and distances look with, by name
`real_images`        pictures to learn from, and on which `shelves` they lie
`log`, `watching`    what is written down, and how a student is measured on the way
`student_folder`     where training and student lie
`student_metrics`    how good a student is, beside which `reference`
===================  ===============================================================================
"""
