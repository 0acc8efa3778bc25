"""Other views of a picture beside the original Zero123, and beside threestudio's Stable Zero123.

The same weights under their own names, the same picture, the same cameras; what their programs ask their networks.
"""

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Optional

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from sds.teachers.conditioning import camera_numbers
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.picture_conditioned import camera_move
from tests.sds import original_layout
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_view_teachers import picture_conditioned

ZERO123, THREESTUDIO = os.environ.get("ZERO123", ""), os.environ.get("THREESTUDIO", "")

pytestmark = pytest.mark.skipif(not ZERO123, reason="ZERO123 names no checkout of Zero123")

SEEN_FROM = 0.3
AZIMUTHS, ELEVATIONS = (0.0, math.pi / 2, -2.0, 3.0), (SEEN_FROM, 0.0, -0.5, 1.2)
VIEW = SimpleNamespace(
    azimuth=torch.tensor(AZIMUTHS), elevation=torch.tensor(ELEVATIONS), background=torch.ones(len(AZIMUTHS), 3)
)
COUNT = len(AZIMUTHS)
TIMES = torch.tensor([0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
LATENT, WIDTH = 8, 768
"""The latents' side, and the width of CLIP's view, which their linear layer is written for."""

UNNEEDED = {
    *("carvekit", "clip", "cv2", "fire", "gradio", "lovely_numpy", "lovely_tensors", "matplotlib", "omegaconf"),
    *("plotly", "pytorch_lightning", "rich", "taming", "threestudio", "torchvision", "webdataset"),
}
"""What their files import for training, pages and pictures, but no number of the network goes through."""


class _Open(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Passing


class Passing(metaclass=_Open):
    """Stands for any class or function: as a decorator, with arguments or without, it changes nothing."""

    def __new__(cls, what: Any = None, *_: Any, **__: Any) -> Any:
        return what if callable(what) else cls

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


class StandIn(ModuleType):
    LightningModule = LightningDataModule = nn.Module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Passing


class StandIns(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in UNNEEDED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "threestudio.utils.typing":
            known = {"Any": Any, "Optional": Optional, "Tuple": tuple, "Float": Passing, "Tensor": Tensor}
            vars(module).update(known)


@pytest.fixture(scope="module", autouse=True)
def packages() -> Iterator[None]:
    pytest.importorskip("kornia", reason="pip install --no-deps kornia kornia_rs einops")
    pytest.importorskip("einops", reason="pip install --no-deps kornia kornia_rs einops")
    before, path = set(sys.modules), list(sys.path)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in UNNEEDED}
    sys.meta_path.insert(0, StandIns())
    sys.path.insert(0, str(Path(ZERO123) / "zero123"))
    yield
    sys.path[:] = path
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, StandIns)]
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {*UNNEEDED, "ldm", "gradio_new"}:
            del sys.modules[name]
    sys.modules.update(kept)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Stable Diffusion of two levels, with as many channels as their normalisations have groups."""
    work = tmp_path_factory.mktemp("work")
    wide = {"block_out_channels": (32, 32), "norm_num_groups": 32}
    made = tiny.stable_diffusion(work / "work", in_channels=8, cross_attention_dim=WIDTH, **wide)
    torch.manual_seed(3)
    vae = type(made.vae).from_config({**made.vae.config, **wide, "scaling_factor": 0.18215})
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    made.register_modules(vae=vae.eval(), scheduler=DDIMScheduler(**betas))
    return made


@pytest.fixture(scope="module", params=["zero123", "stable-zero123"])
def folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return picture_conditioned(pipeline, tmp_path_factory.mktemp("teacher") / request.param, WIDTH, 224)


def original(pipeline: Any, folder: Path) -> Any:
    """Their LatentDiffusion with the weights of the folder."""
    eye = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder").eval()

    class Clip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer, self.eye = nn.Identity(), eye

        def encode_image(self, pixels: Tensor) -> Tensor:
            return self.eye(pixels).image_embeds

    sys.modules["clip"] = ModuleType("clip")
    sys.modules["clip"].load = lambda **_: (Clip(), None)  # type: ignore[attr-defined]
    levels = {"ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0}
    sizes = {"in_channels": 3, "out_ch": 3, "resolution": 16, "z_channels": 4, "double_z": True}
    network = {"image_size": LATENT, "in_channels": 8, "out_channels": 4, "model_channels": 32, "channel_mult": [1, 1]}
    blocks = {"num_res_blocks": 1, "attention_resolutions": [2], "num_heads": 2, "context_dim": WIDTH}
    kind = {"use_spatial_transformer": True, "transformer_depth": 1, "use_checkpoint": False, "legacy": False}

    def part(target: str, **params: Any) -> dict[str, Any]:
        return {"target": f"ldm.{target}", "params": params}

    nothing = {"target": "torch.nn.Identity"}
    model = importlib.import_module("ldm.models.diffusion.ddpm").LatentDiffusion(
        part("models.autoencoder.AutoencoderKL", ddconfig=levels | sizes, lossconfig=nothing, embed_dim=4),
        part("modules.encoders.modules.FrozenCLIPImageEmbedder"),
        unet_config=part("modules.diffusionmodules.openaimodel.UNetModel", **network, **blocks, **kind),
        conditioning_key="hybrid",
        scale_factor=0.18215,
        timesteps=1000,
        linear_start=0.00085,
        linear_end=0.0120,
        use_ema=False,
    )
    linear = load_file(folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    weights = {
        **original_layout.unet(pipeline.unet.state_dict(), 1, 2),
        **original_layout.vae(pipeline.vae.state_dict(), 2),
        **{name.replace("proj.", "cc_projection."): value for name, value in linear.items()},
    }
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("cond_stage_model.model.eye.") or "." not in name for name in missing), missing
    return model.eval()


def picture() -> Tensor:
    """Of the network's own size, with edges for a resampling to show itself."""
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5))
    return torch.where(noise > 0.6, noise, (noise > 0.3).float())


def asked(model: Any, stable: bool) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    """What their program tells the network about the picture and each view, and what where it tells nothing."""
    shown = picture()[None] * 2 - 1
    if stable:
        return stable_conditions(model, shown)
    told: list[Any] = []

    def sample(conditioning: Any, unconditional_conditioning: Any, **_: Any) -> tuple[Tensor, None]:
        told.append((conditioning, unconditional_conditioning))
        return torch.zeros(1, 4, LATENT, LATENT), None

    ask = importlib.import_module("gradio_new").sample_model
    for azimuth, elevation in zip(AZIMUTHS, ELEVATIONS, strict=True):
        lower, turned = math.degrees(SEEN_FROM - elevation), math.degrees(azimuth)
        sampler, side = SimpleNamespace(sample=sample), LATENT * 8  # it divides by eight
        ask(shown, model, sampler, "fp32", side, side, 50, 1, 3.0, 0.0, lower, turned, 0.0)
    keys = ("c_concat", "c_crossattn")
    first, second = ({key: [torch.cat([each[n][key][0] for each in told])] for key in keys} for n in (0, 1))
    return first, second


def stable_conditions(model: Any, shown: Tensor) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    if not THREESTUDIO:
        pytest.skip("THREESTUDIO names no checkout of threestudio")
    source = Path(THREESTUDIO) / "threestudio" / "models" / "guidance" / "stable_zero123_guidance.py"
    spec = importlib.util.spec_from_file_location("stable_zero123_guidance", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    guidance = module.StableZero123Guidance
    angles = SimpleNamespace(cond_elevation_deg=math.degrees(SEEN_FROM), cond_azimuth_deg=0.0)
    self = SimpleNamespace(model=model, cfg=angles, device="cpu", weights_dtype=torch.float32)
    self.c_crossattn, self.c_concat = guidance.get_img_embeds(self, (shown + 1) / 2)
    both = guidance.get_cond(self, VIEW.elevation.rad2deg(), VIEW.azimuth.rad2deg(), torch.ones(COUNT))
    told, nothing = ({key: [values[0].chunk(2)[n]] for key, values in both.items()} for n in (1, 0))
    return told, nothing


def test_the_networks_are_asked_and_answer_the_same(pipeline: Any, folder: Path) -> None:
    model = original(pipeline, folder)
    told, nothing = asked(model, stable=folder.name != "zero123")
    teacher = load_diffusers_teacher(folder)
    teacher.show(picture(), SEEN_FROM)
    x_t = torch.randn(COUNT, *teacher.shape, generator=torch.Generator().manual_seed(0))
    steps = teacher.schedule.timestep(TIMES).float()
    alpha, sigma = (value.float().reshape(-1, 1, 1, 1) for value in teacher.schedule(TIMES))
    found = {}
    for prompt, condition in (("it", told), ("", nothing)):
        with torch.no_grad():
            wanted = model.apply_model(x_t, steps, condition)
        x0 = teacher(x_t, TIMES, teacher.condition([prompt] * COUNT, VIEW))
        found[prompt] = (x_t - alpha * x0) / sigma
        torch.testing.assert_close(found[prompt], wanted, rtol=1e-4, atol=1e-4)
    assert (found["it"] - found[""]).abs().max() > 0.1


def test_the_noise_is_theirs(pipeline: Any, folder: Path) -> None:
    steps = torch.tensor([0, 250, 999])
    schedule = load_diffusers_teacher(folder).schedule
    assert schedule.timestep(steps / 999).tolist() == pytest.approx(steps.tolist())
    theirs = original(pipeline, folder)
    for found, wanted in zip(
        schedule(steps / 999), (theirs.sqrt_alphas_cumprod, theirs.sqrt_one_minus_alphas_cumprod), strict=True
    ):
        torch.testing.assert_close(found.float(), wanted[steps], rtol=1e-5, atol=1e-5)


def test_cameras_are_those_of_their_training() -> None:
    data = importlib.import_module("ldm.data.simple").ObjaverseData
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]

    def matrix(azimuth: float, elevation: float) -> Any:
        """From the world of Blender, +Z up, to a camera: however it is turned, only where it stands is asked."""
        level = math.cos(elevation)
        x, y, z = level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth)  # ours, +Y up
        return np.column_stack([turn, -turn @ np.array([z, x, y])])

    self, seen = data.__new__(data), matrix(0.0, SEEN_FROM)
    theirs = [data.get_T(self, matrix(*angles), seen) for angles in zip(AZIMUTHS, ELEVATIONS, strict=True)]
    ours = camera_move(camera_numbers(VIEW), torch.full((COUNT,), SEEN_FROM), stable=False)
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-5, atol=1e-5)
