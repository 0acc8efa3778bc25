"""One- and few-step generators distilled from a teacher.

Where to find what:

===========================  ==========================================================================================
`flow_map`                   what a student is: x0 whose DDIM step from x_t leads to x_s; averages; two ways to sample
`generator`                  a student as a generator of `sds.engine`, as a scene in 3D is one
`distribution_matching`      Diff-Instruct, DMD, DMD2: rows of `sds.score` with a critic
`adversarial`                discriminators on frozen features; adversarial score matching, UFOGen
`adversarial_distillation`   ADD: a discriminator and the SDS row
`denoising_diffusion_gan`    large steps that are drawn and not averaged
`targets`                    regressions on data or teacher: denoising, reflow, guidance, one-pass, DSNO, progressive
`bootstrap`                  regressions on the student itself: consistency, TRACT, CTM, shortcut, BOOT, MeanFlow
`second_order`               GENIE: a head that knows how the prediction is about to change
`distillation`               the loop of all regressions, and stages
`pairs`, `batches`           the teacher's own trajectories in one file; what a batch may hold
`prompts`, `teachers`        what is asked for; teachers made of teachers (guided, replaced by a student)
`distances`, `evaluation`    between two images; between two sets of images
`recipes`, `folder`          every method by its name; a finished student on the disk
`health`                     signs that a training goes wrong
===========================  ==========================================================================================
"""
