"""Differentiable images of parameters: radiance fields, meshes, pixels."""
