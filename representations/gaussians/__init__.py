"""Objects as 3D Gaussians (Kerbl et al. 2023): `cloud` is what is optimised, `files` how it is saved.

Below them `projection` says where a Gaussian falls in a picture, and `splatting` lays them over each other.
"""
