"""The score-gradient engine: a frozen diffusion teacher says how an image should change."""
