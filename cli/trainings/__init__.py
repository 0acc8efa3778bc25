"""A teacher becomes a student.

===================  ===============================================================================
`distillation`       the course of a training, alone or as one of several `processes`
`looks`              what discriminators and distances look with, by name
`real_images`        a folder of pictures to learn from
`student_folder`     where training and student lie
`student_metrics`    how good a student is
===================  ===============================================================================
"""
