import pytest
import torch

from representations.images.pixels import FlatImage, FourierImage, LatentImage, PixelImage


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decoder() -> torch.nn.Module:
    layer = torch.nn.ConvTranspose2d(4, 3, 2, stride=2)
    return torch.nn.Sequential(layer, torch.nn.Sigmoid())


def images() -> list[FlatImage]:
    return [PixelImage(6), LatentImage((4, 3, 3), decoder(), rng()), FourierImage(6, rng()), FourierImage(7, rng())]


@pytest.mark.parametrize("generator", images(), ids=lambda image: type(image).__name__)
def test_images_are_copies_in_range(generator):
    drawn = generator(generator.draw(3, rng()))
    assert drawn.shape[:2] == (3, 3)
    assert torch.equal(drawn[0], drawn[2])
    assert drawn.min() >= 0
    assert drawn.max() <= 1


@pytest.mark.parametrize("generator", images(), ids=lambda image: type(image).__name__)
def test_gradients_against_finite_differences(generator):
    generator = generator.double()
    name, parameter = next(iter(generator.named_parameters()))
    if isinstance(generator, LatentImage):
        generator._decode[0].double()

    def draw(values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(generator, {name: values}, (2,))

    assert torch.autograd.gradcheck(draw, parameter.detach().clone().requires_grad_())


@pytest.mark.parametrize("generator", images(), ids=lambda image: type(image).__name__)
def test_every_representation_can_become_a_target(generator):
    target = FourierImage(generator.image().shape[2], rng(1), contrast=0.6).image().detach().to(generator.image())
    if isinstance(generator, LatentImage):  # a decoder cannot draw everything; aim at something it can
        target = generator._decode[0](torch.randn(1, 4, 3, 3, generator=rng(1))).detach()
    optimizer = torch.optim.Adam(generator.parameter_groups())
    errors = []
    for _ in range(400):
        error = (generator(1) - target).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.02 * errors[0]


def test_a_pixel_image_starts_gray():
    assert torch.equal(PixelImage(4)(1), torch.full((1, 3, 4, 4), 0.5))


def test_a_decoder_is_neither_trained_nor_saved():
    image = LatentImage((4, 3, 3), decoder(), rng())
    assert list(image.state_dict()) == ["latent"]
    assert len(image.parameter_groups()[0]["params"]) == 1


def test_fourier_spectrum_falls_off_with_frequency():
    image = FourierImage(64, rng(), contrast=0.3)
    logits = image.image().logit()[0]
    assert logits.std().item() == pytest.approx(0.3, rel=1e-3)
    power = torch.fft.rfft2(logits).abs().square().sum(dim=0)
    low, high = power[0, 2:6].mean() + power[2:6, 0].mean(), power[0, 16:24].mean() + power[16:24, 0].mean()
    # 1/f in amplitude is 1/f^2 in power: frequencies about 5 times higher have about 25 times less of it.
    assert 10 < (low / high).item() < 100


def test_fourier_colours_are_mostly_gray():
    pixels = FourierImage(32, rng()).image().logit()[0].flatten(1)
    correlation = torch.corrcoef(pixels)
    assert correlation[0, 1] > 0.8
    assert correlation[1, 2] > 0.8


def test_one_fourier_coefficient_is_one_wave():
    image = FourierImage(8, rng())
    with torch.no_grad():
        image.spectrum.zero_()
        image.spectrum[0, 0, 1, 0] = 1.0
    wave = image.image().logit()[0, 0].detach()
    expected = torch.cos(2 * torch.pi * torch.arange(8) / 8)
    torch.testing.assert_close(wave / wave[0, 0], expected.expand(8, 8), atol=1e-5, rtol=0)


def test_too_small_is_refused():
    with pytest.raises(ValueError, match="2 x 2"):
        FourierImage(1, rng())
