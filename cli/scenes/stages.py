"""What can be optimised, one after the other; loads nothing."""

FLAT = ("pixels", "svg")
"""The stages that draw a flat picture."""

COARSE_TO_FINE = ("nerf", "mesh")
"""The stages of a 3D object, unless the user chooses."""

STAGES = (
    *(COARSE_TO_FINE, ("nerf",), ("mesh",), ("pixels",), ("svg",)),
    *(("nerf", "gaussians"), ("nerf", "mesh", "gaussians"), ("mesh", "gaussians")),
)
"""All that can be asked for."""
