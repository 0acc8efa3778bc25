"""Flat pictures as representations: `pixels`, by themselves, by their Fourier series, or as latents."""
