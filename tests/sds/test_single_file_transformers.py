"""Transformers in one file, under the names of their publishers, say what they say from a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel, Lumina2Transformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file

from sds.teachers import architectures, hub
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError
from sds.teachers.options import TeacherOptions
from tests.sds import original_layout
from tests.sds import original_transformers as original
from tests.sds import tiny_flow_pipelines as flow
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_view_teachers import multi_view


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that name no size work at 16 pixels, and have proportions that diffusers knows at one width alone."""
    for network in architectures.USUAL_SIZE:
        monkeypatch.setitem(architectures.USUAL_SIZE, network, 8)
    split = torch.split

    def in_proportion(tensor: torch.Tensor, sizes: Any, dim: int = 0) -> Any:
        if dim == 0 and not isinstance(sizes, int) and sum(sizes) != len(tensor):
            sizes = [size * len(tensor) // sum(sizes) for size in sizes]
        return split(tensor, sizes, dim)

    monkeypatch.setattr(torch, "split", in_proportion)


def load(path: Path, config: Path | str = "") -> DiffusersTeacher:
    return load_diffusers_teacher(path, options=TeacherOptions(config=str(config)))


def says(teacher: DiffusersTeacher) -> torch.Tensor:
    x_t = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(0))
    return teacher(x_t, torch.tensor([0.5], dtype=torch.float64), teacher.condition(["a red chair"], None))


def without(folder: Path, *parts: str) -> Path:
    """``folder``, whose ``parts`` lose their weights."""
    for part in parts:
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
    return folder


def lumina() -> Any:
    """With three heads for queries beside each one for keys, as it is published."""
    pipeline = flow.lumina()
    config = {**pipeline.transformer.config, "num_attention_heads": 3, "axes_dim_rope": (4, 2, 2)}
    pipeline.register_modules(transformer=flow.lively(Lumina2Transformer2DModel.from_config(config)))
    return pipeline


LAYOUTS: dict[str, tuple[Callable[[Path], Any], original.Layout]] = {
    "sd3": (tiny.stable_diffusion_3, original.STABLE_DIFFUSION_3_OF_TWO_BLOCKS),
    "sd3.5": (
        lambda work: tiny.stable_diffusion_3(work, qk_norm="rms_norm", dual_attention_layers=(0,)),
        original.STABLE_DIFFUSION_3_OF_TWO_BLOCKS,
    ),
    "flux": (flow.flux, original.FLUX),
    "sana": (lambda work: flow.sana(FlowMatchEulerDiscreteScheduler(shift=3.0)), original.SANA),
    "lumina": (lambda work: lumina(), original.LUMINA_2),
    "aura-flow": (lambda work: flow.aura_flow(), original.AURA_FLOW),
    "z-image": (lambda work: flow.z_image(), original.Z_IMAGE),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_network_alone_says_what_its_folder_does(tmp_path: Path, name: str) -> None:
    make, layout = LAYOUTS[name]
    pipeline = make(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "teacher")
    expected = says(load(tmp_path / "teacher"))
    described = without(tmp_path / "teacher", "transformer")
    for prefix in ("", "model.diffusion_model."):
        weights = original.with_prefix(layout(pipeline.transformer.state_dict()), prefix)
        save_file(weights, tmp_path / "model.safetensors")
        torch.testing.assert_close(says(load(tmp_path / "model.safetensors", described)), expected)


@pytest.mark.parametrize("shared_only", [False, True])
def test_a_file_of_stable_diffusion_3_brings_its_autoencoder_and_three_encoders(
    tmp_path: Path, shared_only: bool
) -> None:
    pipeline = tiny.stable_diffusion_3(tmp_path / "work")
    first = tiny.clip_encoder(pipeline.tokenizer, 1, projection=True, projected=8)
    first.text_projection.weight.data = torch.eye(8)  # as the files of SD3 mean it, which do not hold it
    second = tiny.clip_encoder(pipeline.tokenizer, 2, projection=True, width=12, projected=4)
    pipeline.register_modules(text_encoder=first, text_encoder_2=second)
    pipeline.save_pretrained(tmp_path / "teacher")
    t5 = original.with_prefix(pipeline.text_encoder_3.state_dict(), "text_encoders.t5xxl.transformer.")
    t5 = {name: value.clone() for name, value in t5.items() if not (shared_only and "embed_tokens" in name)}
    weights = {
        **original.with_prefix(original.STABLE_DIFFUSION_3_OF_TWO_BLOCKS(pipeline.transformer.state_dict())),
        **original_layout.vae(pipeline.vae.state_dict(), 2),
        **original.with_prefix(first.state_dict(), "text_encoders.clip_l.transformer."),
        **original.with_prefix(second.state_dict(), "text_encoders.clip_g.transformer."),
        **t5,
    }
    del weights["text_encoders.clip_l.transformer.text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    whole = load(tmp_path / "teacher")
    parts = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
    single = load(tmp_path / "model.safetensors", without(tmp_path / "teacher", *parts))
    told, said = (teacher.condition(["a red chair"], None).tensors for teacher in (whole, single))
    for name, value in told.items():
        torch.testing.assert_close(said[name], value)
    torch.testing.assert_close(says(single), says(whole))
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(single.encode(image), whole.encode(image))


def test_of_flux_everything_may_lie_in_one_file_or_the_transformer_alone(tmp_path: Path) -> None:
    pipeline = flow.flux(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "teacher")
    network = original.FLUX(pipeline.transformer.state_dict())
    t5 = original.with_prefix(pipeline.text_encoder_2.state_dict(), "text_encoders.t5xxl.transformer.")
    clip = {
        name.replace("cond_stage_model.", "text_encoders.clip_l."): value
        for name, value in original_layout.clip(pipeline.text_encoder.state_dict()).items()
    }
    vae = {
        name.replace("first_stage_model.", "vae."): value
        for name, value in original_layout.vae(pipeline.vae.state_dict(), 2).items()
    }
    everything = {**original.with_prefix(network), **clip, **vae, **t5}
    save_file({name: value.clone() for name, value in everything.items()}, tmp_path / "everything.safetensors")
    save_file(network, tmp_path / "alone.safetensors")
    expected = says(load(tmp_path / "teacher"))
    described = without(tmp_path / "teacher", "transformer", "vae", "text_encoder", "text_encoder_2")
    torch.testing.assert_close(says(load(tmp_path / "everything.safetensors", described)), expected)
    with pytest.raises(TeacherFolderError, match=r"vae has no diffusion_pytorch_model\.safetensors"):
        load(tmp_path / "alone.safetensors", described)


def test_names_and_shapes_are_those_of_flux_at_its_published_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        network = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
        weights = network.state_dict()
        read = convert_flux_transformer_checkpoint_to_diffusers(original.FLUX(weights))
    assert {name: value.shape for name, value in read.items()} == {name: value.shape for name, value in weights.items()}


def test_what_a_file_lacks_is_fetched_from_the_repository_that_describes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = flow.flux(tmp_path / "work")
    folder = tmp_path / "teacher"
    pipeline.save_pretrained(folder)
    save_file(original.FLUX(pipeline.transformer.state_dict()), tmp_path / "alone.safetensors")
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    fetched: list[str] = []
    monkeypatch.setattr(hub, "hf_hub_download", lambda name, file: str(folder / file))
    monkeypatch.setattr(hub.HfApi, "list_repo_files", lambda self, name: files)
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, allow_patterns: fetched.extend(allow_patterns) or str(folder)
    )
    options = TeacherOptions(config="someone/something")
    load_diffusers_teacher(tmp_path / "alone.safetensors", allow_download=True, options=options)
    assert sorted(fetched) == sorted(set(files) - {"transformer/diffusion_pytorch_model.safetensors"})


REFUSED = [
    ({"joint_blocks.0.a": (1,)}, "StableDiffusion3Pipeline as P, SD3Transformer2DModel as N"),
    (
        {"model.diffusion_model.joint_blocks.0.a": (1,), "text_encoders.clip_l.b": (1,)},
        "StableDiffusion3Pipeline as P; P",
    ),
    ({"double_blocks.0.a": (1,), "single_blocks.0.b": (1,)}, "with its text encoders.*FluxTransformer2DModel as N; "),
    ({"cap_embedder.0.weight": (1,), "layers.0.adaLN_modulation.1.weight": (1,)}, "config Alpha-VLLM/Lumina-Image-2.0"),
    ({"blocks.0.cross_attn.q_linear.weight": (1,)}, "PixArtSigma.*convert_pixart_sigma_to_diffusers"),
    ({"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)}, "is an inpainting network"),
    ({"model.diffusion_model.distilled_guidance_layer.in_proj.bias": (1,)}, "a model of the kind chroma"),
    ({"double_blocks.0.img_attn.qkv.weight": (1,), "single_blocks.0.a": (1,), "scaled_fp8": (1,)}, "is quantized"),
]


@pytest.mark.parametrize(("tensors", "reason"), REFUSED)
def test_files_that_need_more_or_cannot_be_teachers_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    monkeypatch.setattr(hub, "snapshot_download", nothing_is_here)
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "model.safetensors")
    with pytest.raises(TeacherFolderError, match=reason) as said:
        load(tmp_path / "model.safetensors")
    assert "\n" not in str(said.value)


def nothing_is_here(*_: Any, **__: Any) -> str:
    raise FileNotFoundError


def test_networks_that_no_file_is_read_for_name_the_conversion(tmp_path: Path) -> None:
    tiny.pixart(tmp_path / "work").save_pretrained(tmp_path / "pixart")
    save_file({"joint_blocks.0.a": torch.zeros(1)}, tmp_path / "model.safetensors")
    for folder, name in ((tmp_path / "pixart", "PixArtTransformer2DModel"), (multi_view(tmp_path), "MultiViewUNet")):
        with pytest.raises(TeacherFolderError, match=rf"no {name} is read.*convert it once"):
            load(tmp_path / "model.safetensors", folder)
