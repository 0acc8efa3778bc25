"""One- and few-step generators distilled from a teacher.

What a student is:

==========================  =========================================================================================
`flow_map`                  x0 whose DDIM step from x_t leads to x_s; ways to sample
`student`, `average`        a trainable copy of a teacher's network; the average of its weights
`generator`                 a student as a generator of `sds.engine`, as a scene in 3D is one
`folder`, `inputs`          a finished student on the disk, and what it is told beside the time
`change_head`               GENIE's head: by it a student's steps are of second order
`density_student`           a student that is a flow of known density (`density_flow`)
`corrections`               a student of low rank as the file that diffusers takes
`shipped`                   the student that travels with the package
`prompts`                   what it is asked for
`teachers`                  teachers made of teachers: in shares, differentiable, replaced by a student
`guided_teacher`            a teacher whose paths are guided
`answerable`                teachers on other noise levels: straight paths, below pure noise
==========================  =========================================================================================

And what makes one:

==========================  =========================================================================================
`methods/`                  the algebra, one file for each family
`recipes/`                  every method by its name, put together for what a user wants
`training/`                 the loop, and what it learns from
`features/`                 with what images are looked at: discriminators, distances
`measures/`                 how good a student is
==========================  =========================================================================================
"""
