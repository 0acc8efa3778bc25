"""Several representations as one distribution."""

import pytest
import torch

from representations.images.pixels import PixelImage
from representations.particles import Particles


def test_each_draw_is_of_one_particle_and_all_have_their_turn():
    particles = Particles([PixelImage(size=2) for _ in range(3)])
    for number, particle in enumerate(particles.particles):
        torch.nn.init.constant_(particle.logits, float(number))
    rng = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(30):
        draw = particles.draw(4, rng)
        image = particles(draw).image
        assert image.shape == (4, 3, 2, 2)
        torch.testing.assert_close(image, torch.full_like(image, float(draw.particle)).sigmoid())
        seen.add(draw.particle)
    assert seen == {0, 1, 2}


def test_only_the_drawn_particle_gets_a_gradient():
    particles = Particles([PixelImage(size=2), PixelImage(size=2)])
    draw = particles.draw(1, torch.Generator().manual_seed(0))
    particles(draw).image.sum().backward()
    gradients = [particle.logits.grad is not None for particle in particles.particles]
    assert gradients == [number == draw.particle for number in range(2)]


def test_all_particles_are_optimised_and_none_is_refused():
    particles = Particles([PixelImage(size=2), PixelImage(size=2)])
    parameters = [p for group in particles.parameter_groups() for p in group["params"]]
    assert {id(p) for p in parameters} == {id(p) for p in particles.parameters()}
    with pytest.raises(ValueError, match="at least one"):
        Particles([])
