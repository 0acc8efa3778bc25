"""Diffusion teachers that meet the contract of `sds.denoiser`."""
