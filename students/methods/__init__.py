"""The algebra of every method, one file for each family.

==============================  ====================================================================
`targets`                       regressions on data or teacher: denoising, reflow, guidance, one-pass, DSNO, progressive
`levels`                        the noise levels that those below climb
`bootstrap`                     regressions on the student itself: consistency, TRACT, CTM, shortcut, BOOT
`mean_flow`                     MeanFlow: a jump's mean velocity by its derivative
`continuous_consistency`        sCM: the derivative in place of neighbouring levels
`second_order`                  GENIE: a head that knows how the prediction is about to change
`temporal_fourier`              DSNO's layers: one call draws all states of a path
`density_distillation`          probability density distillation: a student whose density is known needs no critic
`distribution_matching`         Diff-Instruct, DMD, DMD2: rows of `sds.score` with a critic
`f_distillation`                the same for any f-divergence
`score_identity`                SiD: a gradient through teacher and critic
`adversarial`                   a discriminator that learns beside a student; adversarial score matching, UFOGen
`adversarial_distillation`      ADD: a discriminator and the SDS row
`denoising_diffusion_gan`       large steps that are drawn and not averaged
==============================  ====================================================================
"""
