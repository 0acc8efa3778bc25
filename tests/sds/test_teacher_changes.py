"""Weights in single files, and what is laid over a teacher's weights: LoRA, learned words."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch._dynamo.exc import TorchDynamoException

from sds.lora import full_copy
from sds.teachers import hub
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.execution import compile_network
from sds.teachers.folder import TeacherFolderError
from sds.teachers.lora_files import add_lora, read_lora
from sds.teachers.options import TeacherOptions
from tests.sds import original_layout
from tests.sds import tiny_flow_pipelines as flow
from tests.sds import tiny_pipelines as tiny


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("pipeline") / "work")


@pytest.fixture(scope="module")
def folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "teacher"
    pipeline.save_pretrained(path)
    return path


def load(folder: Path, dtype: torch.dtype | None = None, **options: Any) -> DiffusersTeacher:
    return load_diffusers_teacher(folder, dtype=dtype, options=TeacherOptions(**options))


def prediction(teacher: DiffusersTeacher, prompt: str = "a red chair") -> torch.Tensor:
    x_t = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(0))
    return teacher(x_t, torch.tensor([0.5], dtype=torch.float64), teacher.condition([prompt], None))


def refused(folder: Path, reason: str, **options: Any) -> None:
    with pytest.raises(TeacherFolderError, match=reason) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


# Single files


def without_weights(folder: Path, path: Path) -> Path:
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".safetensors":
            (path / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (path / file.relative_to(folder)).write_bytes(file.read_bytes())
    return path


def test_a_single_file_predicts_and_decodes_what_its_folder_does(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    save_file(original_layout.stable_diffusion(pipeline), tmp_path / "model.safetensors")
    config = without_weights(folder, tmp_path / "described")
    whole, single = load(folder), load(tmp_path / "model.safetensors", config=str(config))

    torch.testing.assert_close(prediction(single), prediction(whole), rtol=1e-5, atol=1e-5)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(single.decode(x), whole.decode(x), rtol=1e-5, atol=1e-5)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(single.encode(image), whole.encode(image), rtol=1e-5, atol=1e-5)


def test_a_single_file_of_sdxl_has_both_of_its_encoders(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion_xl(tmp_path / "work", second_width=12)
    pipeline.save_pretrained(tmp_path / "teacher")
    save_file(original_layout.stable_diffusion_xl(pipeline), tmp_path / "model.safetensors")
    config = without_weights(tmp_path / "teacher", tmp_path / "described")
    whole, single = load(tmp_path / "teacher"), load(tmp_path / "model.safetensors", config=str(config))
    told, said = (teacher.condition(["a red chair"], None).tensors for teacher in (whole, single))
    assert told.keys() == said.keys()
    for name in told:
        torch.testing.assert_close(said[name], told[name], rtol=1e-5, atol=1e-5)
    assert told["text"].shape[-1] == 20
    torch.testing.assert_close(prediction(single), prediction(whole), rtol=1e-5, atol=1e-5)


def test_the_autoencoder_may_come_from_the_describing_folder(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    weights = original_layout.stable_diffusion(pipeline)
    save_file({key: value for key, value in weights.items() if "first_stage" not in key}, tmp_path / "m.safetensors")
    torch.testing.assert_close(
        prediction(load(tmp_path / "m.safetensors", config=str(folder))), prediction(load(folder))
    )
    refused(
        tmp_path / "m.safetensors",
        "vae has no diffusion_pytorch_model.safetensors",
        config=str(without_weights(folder, tmp_path / "described")),
    )


def test_a_single_file_needs_something_that_describes_it(
    pipeline: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = original_layout.stable_diffusion(pipeline)
    save_file(weights, tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **how: nothing_cached(how))
    monkeypatch.setattr(hub, "downloaded", lambda *how: pytest.fail("a download was tried"))
    with pytest.raises(
        TeacherFolderError, match="--teacher-config stable-diffusion-v1-5/stable-diffusion-v1-5"
    ) as said:
        load_diffusers_teacher(tmp_path / "model.safetensors", allow_download=True)
    assert "\n" not in str(said.value)
    refused(tmp_path / "model.safetensors", "there is no folder", config=str(tmp_path / "nowhere"))

    tiny.stable_diffusion_xl(tmp_path / "work").save_pretrained(tmp_path / "other")
    refused(tmp_path / "model.safetensors", "makes no UNet2DConditionModel", config=str(tmp_path / "other"))

    name = next(key for key in weights if key.endswith("middle_block.0.in_layers.2.bias"))
    save_file({key: value for key, value in weights.items() if key != name}, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", "1 weights are missing|makes no UNet", config=str(folder))
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    refused(tmp_path / "model.safetensors", "broken or cut short", config=str(folder))


def nothing_cached(how: dict[str, Any]) -> str:
    assert how == {"local_files_only": True}
    raise FileNotFoundError


def test_of_a_repository_that_describes_a_file_only_small_files_are_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    monkeypatch.setattr(hub, "hf_hub_download", lambda name, file: str(folder / file))
    monkeypatch.setattr(hub.HfApi, "list_repo_files", lambda self, name: files)
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, allow_patterns: fetched.extend(allow_patterns) or str(folder)
    )
    hub.find_teacher_folder("someone/something", allow_download=True, holding=lambda component, class_name: True)
    assert sorted(fetched) == sorted(file for file in files if not file.endswith(".safetensors"))


# LoRA

LINEAR, CONVOLUTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", "mid_block.resnets.0.conv1"
IN_TEXT = "encoder.layers.0.self_attn.q_proj"
RANK = 2


def factors(network: torch.nn.Module, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(down, up) of rank 2 for a layer."""
    weight = network.get_submodule(layer).weight
    generator = torch.Generator().manual_seed(len(layer))
    down = torch.randn(RANK, *weight.shape[1:], generator=generator)
    up = torch.randn(len(weight), RANK, *[1] * (weight.dim() - 2), generator=generator)
    return down, up


def file_of_layout(pipeline: Any, path: Path, layout: str, alpha: float) -> Path:
    """A LoRA on a linear layer and a convolution of the UNet and, but for the barest layout, on the text encoder."""
    text = "text_model." + IN_TEXT if hasattr(pipeline.text_encoder, "text_model") else IN_TEXT
    parts = {"unet": (pipeline.unet, (LINEAR, CONVOLUTION)), "text_encoder": (pipeline.text_encoder, (text,))}
    tensors: dict[str, torch.Tensor] = {}
    for part, (network, layers) in parts.items():
        for layer in layers:
            down, up = factors(network, layer)
            if layout == "kohya":
                name = "text_model." + IN_TEXT if part == "text_encoder" else layer
                head = f"lora_{'te' if part == 'text_encoder' else 'unet'}_{name.replace('.', '_')}"
                tensors |= {f"{head}.lora_down.weight": down, f"{head}.lora_up.weight": up}
                tensors[f"{head}.alpha"] = torch.tensor(alpha)
            elif layout == "early diffusers":
                middle = "lora_linear_layer" if part == "text_encoder" else "lora"
                name = "text_model." + IN_TEXT if part == "text_encoder" else layer
                tensors |= {f"{part}.{name}.{middle}.{half}.weight": f for half, f in (("down", down), ("up", up))}
            elif layout == "peft" or part == "unet":
                head = "" if layout == "bare" else f"{part}."
                tensors |= {f"{head}{layer}.lora_A.weight": down, f"{head}{layer}.lora_B.weight": up}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize(
    ("layout", "alpha", "scale"),
    [("peft", RANK, 0.5), ("early diffusers", RANK, 1), ("kohya", 1.0, 1), ("kohya", 1.0, -0.25), ("bare", RANK, 2)],
)
def test_a_lora_adds_scale_alpha_over_rank_up_down(
    pipeline: Any, folder: Path, tmp_path: Path, layout: str, alpha: float, scale: float
) -> None:
    file = file_of_layout(pipeline, tmp_path / "lora.safetensors", layout, alpha)
    teacher = load(folder, loras=(f"{file}:{scale}" if scale != 1 else str(file),))

    for layer in (LINEAR, CONVOLUTION):
        down, up = factors(pipeline.unet, layer)
        product = torch.einsum("or...,ri...->oi...", up.expand(-1, -1, *down.shape[2:]), down)
        expected = pipeline.unet.get_submodule(layer).weight + scale * alpha / RANK * product
        torch.testing.assert_close(teacher.network.get_submodule(layer).weight, expected, rtol=1e-5, atol=1e-5)
    plain, adapted = load(folder).condition(["a cat"], None), teacher.condition(["a cat"], None)
    assert torch.equal(plain.tensors["text"], adapted.tensors["text"]) == (layout == "bare")


@pytest.mark.parametrize(
    "make",
    [
        lambda work: flow.flux(work),
        lambda work: flow.sana(None),
        lambda work: flow.lumina(),
        lambda work: flow.aura_flow(),
        lambda work: flow.z_image(),
        tiny.stable_diffusion_3,
    ],
    ids=["flux", "sana", "lumina", "aura-flow", "z-image", "sd3"],
)
def test_a_lora_lies_on_transformers_too(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    network = make(tmp_path).transformer
    layer = next(name for name, part in network.named_modules() if name.endswith(("to_q", "attention.to_q")))
    before, (down, up) = network.get_submodule(layer).weight.clone(), factors(network, layer)
    tensors = {f"transformer.{layer}.lora_A.weight": down, f"transformer.{layer}.lora_B.weight": up}
    save_file(tensors, tmp_path / "lora.safetensors")
    assert add_lora(network, "transformer", read_lora(str(tmp_path / "lora.safetensors"))) == {}
    torch.testing.assert_close(network.get_submodule(layer).weight, before + up @ down)


def test_several_loras_add_up_and_opposite_ones_cancel(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    file = file_of_layout(pipeline, tmp_path / "a.safetensors", "peft", RANK)
    twice = load(folder, loras=(str(file), str(file)))
    torch.testing.assert_close(prediction(twice), prediction(load(folder, loras=(f"{file}:2",))))
    none = load(folder, loras=(f"{file}:0.5", f"{file}:-0.5"))
    torch.testing.assert_close(prediction(none), prediction(load(folder)), rtol=1e-4, atol=1e-4)


def test_a_lora_lies_on_a_single_file_too(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    save_file(original_layout.stable_diffusion(pipeline), tmp_path / "model.safetensors")
    lora = str(file_of_layout(pipeline, tmp_path / "lora.safetensors", "kohya", 1.0))
    single = load(tmp_path / "model.safetensors", config=str(folder), loras=(lora,))
    torch.testing.assert_close(prediction(single), prediction(load(folder, loras=(lora,))), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"unet.no_such.layer.lora_A.weight": (2, 8), "unet.no_such.layer.lora_B.weight": (8, 2)}, "no layer 'no_such"),
        ({f"unet.{LINEAR}.lora_A.weight": (2, 9), f"unet.{LINEAR}.lora_B.weight": (8, 2)}, "another size of teacher"),
        ({f"unet.{LINEAR}.lora_A.weight": (2, 8), f"unet.{LINEAR}.lora_B.weight": (8, 3)}, "another size of teacher"),
        ({f"unet.{LINEAR}.lora_A.weight": (2, 8)}, "one factor only"),
        ({"lora_unet_x.hada_w1_a": (2, 8)}, "LyCORIS or DoRA"),
        ({"conv_in.weight": (2, 8)}, "holds no LoRA"),
    ],
)
def test_a_lora_that_does_not_fit_says_why(
    folder: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "lora.safetensors")
    refused(folder, reason, loras=(str(tmp_path / "lora.safetensors"),))


def test_a_lora_that_makes_a_student_is_known_by_its_name(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lcm_lora").mkdir()
    lora = file_of_layout(pipeline, tmp_path / "lcm_lora" / "weights.safetensors", "peft", RANK)
    with pytest.warns(UserWarning, match=r"makes a distilled student of the teacher by its name \('lcm'\)"):
        load(folder, loras=(str(lora),))


def test_a_lora_file_that_is_missing_pickled_or_overdone_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lora.bin").write_bytes(b"")
    save_file({"a.lora_A.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    refused(folder, "there is no file", loras=(str(tmp_path / "nowhere.safetensors"),))
    refused(folder, "pickles can run any code", loras=(str(tmp_path / "lora.bin"),))
    for scale in ("nan", "inf", "1000"):
        refused(folder, "the scale of a LoRA", loras=(f"{tmp_path / 'lora.safetensors'}:{scale}",))


# Learned words


def test_a_learned_word_is_its_vectors(folder: Path, tmp_path: Path) -> None:
    plain = load(folder)
    encoder = plain.prompts.encode.__closure__[0].cell_contents  # type: ignore[attr-defined]
    known = encoder.tokenizer.convert_tokens_to_ids(["cat</w>", "chair</w>"])
    rows = encoder.network.get_input_embeddings().weight[known].clone()

    save_file({"<thing>": rows[:1]}, tmp_path / "one.safetensors")
    save_file({"emb_params": rows}, tmp_path / "mything.safetensors")
    teacher = load(folder, words=(str(tmp_path / "one.safetensors"), str(tmp_path / "mything.safetensors")))

    def text(who: DiffusersTeacher, prompt: str) -> torch.Tensor:
        return who.condition([prompt], None).tensors["text"]

    torch.testing.assert_close(text(teacher, "a red <thing>"), text(plain, "a red cat"))
    torch.testing.assert_close(text(teacher, "mything, a view"), text(plain, "cat chair, a view"))
    torch.testing.assert_close(text(teacher, "a blue chair"), text(plain, "a blue chair"))


def test_words_that_cannot_be_learned_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, tensors in {
        "wide": {"<thing>": torch.zeros(1, 9)},
        "cat": {"<|endoftext|>": torch.zeros(1, 8)},
        "model": {"conv.weight": torch.zeros(3, 3, 3, 3)},
        "lora": {"a.lora_A.weight": torch.zeros(2, 8), "a.lora_B.weight": torch.zeros(8, 2)},
        "two words": {"emb_params": torch.zeros(1, 8)},
    }.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    refused(folder, r"its vectors are \[9\] wide, .* \[8\]", words=(str(tmp_path / "wide.safetensors"),))
    refused(folder, "knows a word '<.endoftext.>' already", words=(str(tmp_path / "cat.safetensors"),))
    for name in ("model", "lora"):
        refused(folder, "holds no learned word", words=(str(tmp_path / f"{name}.safetensors"),))
    refused(folder, "one word; rename the file", words=(str(tmp_path / "two words.safetensors"),))


def test_the_pooled_state_is_still_taken_at_the_end(tmp_path: Path) -> None:
    tiny.stable_diffusion_xl(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    for encoder in ("text_encoder", "text_encoder_2"):
        tiny.edit_json(tmp_path / "teacher" / encoder / "config.json", eos_token_id=2)  # as it is published
    plain = load(tmp_path / "teacher")
    save_file({"clip_l": torch.ones(1, 8), "clip_g": torch.zeros(1, 8)}, tmp_path / "thing.safetensors")
    teacher = load(tmp_path / "teacher", words=(str(tmp_path / "thing.safetensors"),))
    for prompt in ("a red chair", "a thing"):
        pooled = teacher.condition([prompt], None).tensors["pooled"]
        same = torch.equal(pooled, plain.condition([prompt], None).tensors["pooled"])
        assert same == (prompt == "a red chair")


# What stays in float32


def test_what_its_authors_keep_in_float32_keeps_its_digits(tmp_path: Path) -> None:
    pipeline = tiny.deepfloyd_if(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "teacher")
    teacher = load(tmp_path / "teacher", torch.float16)
    encoder = teacher.prompts.encode.__closure__[0].cell_contents  # type: ignore[attr-defined]
    kept = encoder.network.encoder.block[0].layer[1].DenseReluDense.wo.weight  # by T5's `_keep_in_fp32_modules`
    assert torch.equal(kept, pipeline.text_encoder.encoder.block[0].layer[1].DenseReluDense.wo.weight)
    assert encoder.network.shared.weight.dtype is torch.float16
    assert torch.isfinite(prediction(teacher)).all()


# How it computes


def tiny_autoencoder(latent_channels: int = 4) -> AutoencoderTiny:
    torch.manual_seed(11)
    return AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=latent_channels,
    ).eval()


def test_a_tiny_autoencoder_stands_in_for_the_teachers_own(folder: Path, tmp_path: Path) -> None:
    network = tiny_autoencoder()
    network.save_pretrained(tmp_path / "taesd")
    teacher = load(folder, tiny_autoencoder=str(tmp_path / "taesd"))
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    x = teacher.encode(image)
    torch.testing.assert_close(x, network.encode(image * 2 - 1).latents)
    torch.testing.assert_close(teacher.decode(x), (network.decode(x).sample + 1) / 2)
    x.square().sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_autoencoders_of_other_latents_are_refused(folder: Path, tmp_path: Path) -> None:
    tiny_autoencoder(16).save_pretrained(tmp_path / "taef1")
    refused(folder, r"makes latents of \(16, 8, 8\)", tiny_autoencoder=str(tmp_path / "taef1"))
    refused(folder, "holds a AutoencoderKL; --tiny", tiny_autoencoder=str(folder / "vae"))
    refused(folder, "has no config.json", tiny_autoencoder=str(tmp_path))
    refused(folder, "there is no folder", tiny_autoencoder=str(tmp_path / "nowhere"))
    refused(folder, "cannot be had from the hub", tiny_autoencoder="nobody/nothing-of-the-kind")


def test_weights_that_wait_in_memory_predict_the_same(folder: Path) -> None:
    torch.testing.assert_close(prediction(load(folder, offload=True)), prediction(load(folder)))


def test_a_compiler_is_tried_before_it_is_relied_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
    teacher = load(folder, compiled=True)
    assert compiled == ["UNet2DConditionModel"]

    def fail(*_: Any, **__: Any) -> Any:
        raise TorchDynamoException("no space\nand many lines of what was tried")

    monkeypatch.setattr(teacher.network, "forward", fail)
    with pytest.raises(TeacherFolderError, match=r"the teacher's network, leave --compile out \(no space\)$"):
        prediction(teacher)
    monkeypatch.setattr(torch, "compile", fail)
    refused(folder, r"on this machine, leave --compile out \(no space\)", compiled=True)


def test_what_is_compiled_keeps_its_values_and_names_and_is_copied_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    network, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    expected, names = network(x), list(network.state_dict())
    compile_network(network, torch.device("cpu"))
    torch.testing.assert_close(network(x), expected)
    assert network._compiled_call_impl is not None
    copy = full_copy(network)
    assert (list(network.state_dict()), list(copy.state_dict())) == (names, names)
    assert copy._compiled_call_impl is None  # what learns from it is not compiled again at every step
