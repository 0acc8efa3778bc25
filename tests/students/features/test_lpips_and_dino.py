"""LPIPS against its formula written out, DINO features against transformers' own, and files that are something else."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from sds.denoiser import Condition
from students.features.dino import load_dino
from students.features.imagenet_network import MissingWeightsError
from students.features.lpips import BLOCKS, Vgg16, load_lpips
from students.features.sources import ImageFeatures, discriminator_on, from_images
from students.training.real_images import RealImages
from tests.sds.toys import ToyTeacher
from tests.students.toys import normals


def lpips_files(folder: Path) -> Path:
    """Files like those of LPIPS, with a VGG16 of random weights under torchvision's names and its classifier."""
    torch.manual_seed(0)
    weights = Vgg16().state_dict()
    torch.save({**weights, "classifier.0.weight": torch.zeros(2)}, folder / "vgg16-397923af.pth")
    heads = {f"lin{i}.model.1.weight": torch.rand(1, block[-1], 1, 1) for i, block in enumerate(BLOCKS)}
    torch.save(heads, folder / "vgg.pth")
    return folder


@pytest.fixture(scope="module")
def lpips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lpips_files(tmp_path_factory.mktemp("lpips"))


def written_out(folder: Path, x: Tensor, y: Tensor) -> Tensor:
    """LPIPS as in the paper, from the files, layer by layer with torchvision's numbers of the layers."""
    weights = torch.load(folder / "vgg16-397923af.pth", weights_only=True)
    heads = torch.load(folder / "vgg.pth", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1)
    total, of = torch.zeros(len(x)), [(2 * image - 1 - shift) / scale for image in (x, y)]
    for i, numbers in enumerate([(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)]):
        if i:
            of = [F.max_pool2d(f, 2) for f in of]
        for n in numbers:
            of = [
                F.relu(F.conv2d(f, weights[f"features.{n}.weight"], weights[f"features.{n}.bias"], padding=1))
                for f in of
            ]
        a, b = (f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10) for f in of)
        total += F.conv2d((a - b).square(), heads[f"lin{i}.model.1.weight"]).mean((1, 2, 3))
    return total


def test_lpips_is_the_formula_of_the_paper(lpips_folder: Path):
    distance = load_lpips(lpips_folder)
    x, y = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(distance(x, y), written_out(lpips_folder, x, y), rtol=1e-4, atol=1e-6)
    assert torch.equal(distance(x, x), torch.zeros(2))
    assert bool((distance(x, y) > 0).all())
    leaf = x.clone().requires_grad_()
    distance(leaf, y).sum().backward()
    assert bool(torch.isfinite(leaf.grad).all())
    assert leaf.grad.abs().max() > 0


def test_other_files_are_not_lpips(lpips_folder: Path, tmp_path: Path):
    with pytest.raises(MissingWeightsError, match=r"needs vgg16\*\.pth \(torchvision's VGG16\) and vgg\.pth"):
        load_lpips(tmp_path)
    (tmp_path / "vgg16.pth").write_bytes((lpips_folder / "vgg16-397923af.pth").read_bytes())
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, 64, 1, 1) for i in range(5)}, tmp_path / "vgg.pth")
    with pytest.raises(MissingWeightsError, match="another network than VGG16"):
        load_lpips(tmp_path)
    for content in (b"", b"not weights"):
        (tmp_path / "vgg.pth").write_bytes(content)
        with pytest.raises(MissingWeightsError, match="these are not the files"):
            load_lpips(tmp_path)


def tiny_dino(folder: Path) -> Dinov2Model:
    torch.manual_seed(0)
    network = Dinov2Model(
        Dinov2Config(hidden_size=16, num_hidden_layers=8, num_attention_heads=2, image_size=28, patch_size=14)
    )
    network.save_pretrained(folder)
    return network.eval()


def test_dino_features_are_its_patches(tmp_path: Path):
    network, maps = tiny_dino(tmp_path), load_dino(tmp_path)
    image = torch.rand(2, 3, 224, 224).requires_grad_()
    seen = maps(image)
    assert [tuple(m.shape) for m in seen] == [(2, 16, 16, 16)] * 4
    mean, deviation = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    states = network((image - mean) / deviation, output_hidden_states=True).hidden_states
    for m, layer in zip(seen, (2, 4, 6, 8), strict=True):
        torch.testing.assert_close(m[:, :, 3, 5], states[layer][:, 1 + 3 * 16 + 5], rtol=0, atol=1e-5)
    seen[-1].square().sum().backward()
    assert image.grad.abs().max() > 0
    assert maps(torch.rand(1, 3, 32, 48))[0].shape == (1, 16, 16, 16)


def test_other_folders_are_not_dino(tmp_path: Path):
    with pytest.raises(MissingWeightsError, match=r"needs the config\.json and model\.safetensors of a DINOv2"):
        load_dino(tmp_path)
    tiny_dino(tmp_path)
    config = tmp_path / "config.json"
    content = json.loads(config.read_text())
    for change, message in (
        ({"model_type": "vit"}, "of a 'vit', not of a dinov2"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "wants its own code to be run"),
        ({"num_hidden_layers": 9}, "lacks"),
    ):
        config.write_text(json.dumps({**content, **change}))
        with pytest.raises(MissingWeightsError, match=message):
            load_dino(tmp_path)
    config.write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(MissingWeightsError, match="cannot be loaded"):
        load_dino(tmp_path)


def test_features_of_images_decode_x_first():
    """Heads fit to what is seen, gradients reach x, and neither condition nor chance plays a part."""
    teacher = ToyTeacher()
    features = from_images(lambda image: [image, image.mean((2, 3))])(teacher, teacher.network)
    assert isinstance(features, ImageFeatures)
    x, told = normals(3, 3, 4, 4).requires_grad_(), Condition({"text": torch.zeros(3)})
    maps, means = features(x, told, torch.Generator())
    torch.testing.assert_close(maps, (x + 1) / 2)
    pictures = torch.randint(256, (64, 3, 4, 4), dtype=torch.uint8)
    discriminator = discriminator_on(features, RealImages(pictures, ["a"] * 64, teacher))
    assert [head[0].in_features for head in discriminator.heads] == [3, 3]
    discriminator([maps, means]).sum().backward()
    assert x.grad.abs().max() > 0
    with pytest.raises(ValueError, match=r"equally many, not \[63, 64\]"):
        RealImages(pictures, ["a"] * 63, teacher)
