"""One- and few-step generators distilled from a teacher.

Where to find what:

===========================  ==========================================================================================
what a student is
`flow_map`                   x0 whose DDIM step from x_t leads to x_s; averages of weights; two ways to sample
`generator`                  a student as a generator of `sds.engine`, as a scene in 3D is one
`temporal_fourier`           DSNO's layers: one call draws all states of a path
`folder`, `inputs`           a finished student on the disk, and what it is told beside the time
`shipped`                    the student that travels with the package

Methods:
`targets`                    regressions on data or teacher: denoising, reflow, guidance, one-pass, DSNO, progressive
`bootstrap`                  regressions on the student itself: consistency, TRACT, CTM, shortcut, BOOT, MeanFlow
`continuous_consistency`     sCM: the derivative in place of neighbouring levels
`second_order`               GENIE: a head that knows how the prediction is about to change
`distribution_matching`      Diff-Instruct, DMD, DMD2: rows of `sds.score` with a critic
`f_distillation`             the same for any f-divergence
`score_identity`             SiD: a gradient through teacher and critic
`adversarial`                a discriminator that learns beside a student; adversarial score matching, UFOGen
`adversarial_distillation`   ADD: a discriminator and the SDS row
`denoising_diffusion_gan`    large steps that are drawn and not averaged
`recipes`, `order`           every method by its name (in `recipes_*`), put together for what a user wants

what that is made of
`distillation`               the loop of all regressions, and stages
`pairs`, `batches`           the teacher's own trajectories in one file; what a batch may hold
`real_images`, `prompts`     pictures with captions and views; what is asked for
`teachers`                   teachers made of teachers: guided, on straight paths, replaced by a student, in shares
`discriminators`             heads on features, frozen or learning with them
`features`                   what discriminators look at: the teacher, `imagenet_network`, `dino`
`distances`, `lpips`         between two images
`evaluation`, `reference`    between two sets of images; features of real ones
`health`                     signs that a training goes wrong
===========================  ==========================================================================================
"""
