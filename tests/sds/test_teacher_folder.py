"""A teacher's folder comes from a stranger: what is broken is explained, what is dangerous is refused and never run."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sds.teachers import hub
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError, open_teacher_folder
from sds.teachers.hub import find_teacher_folder, needed_files
from tests.sds import tiny_pipelines as tiny

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("original")
    tiny.stable_diffusion(work / "work").save_pretrained(work / "teacher")
    return work / "teacher"


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "teacher")
    return tmp_path / "teacher"


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(TeacherFolderError, match=reason) as caught:
        load_diffusers_teacher(folder)
    assert "\n" not in str(caught.value)


def test_the_untouched_folder_loads(folder: Path) -> None:
    assert load_diffusers_teacher(folder).shape == (4, 8, 8)


# Code


@pytest.mark.parametrize("component", ["unet", "vae", "scheduler", "text_encoder", "tokenizer"])
@pytest.mark.parametrize("pair", [["os", "system"], ["builtins", "eval"], ["diffusers", "FluxPipeline"]])
def test_a_class_that_is_not_in_the_table_is_refused_by_name(folder: Path, component: str, pair: list[str]) -> None:
    tiny.edit_json(folder / "model_index.json", **{component: pair})
    refused(
        folder, f"'{component}' wants the class {pair[1]} of {pair[0]}, which is not supported and was not imported"
    )


def test_a_module_of_the_folder_is_not_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = folder.parent / "mark"
    (folder / "unet" / "evil.py").write_text(f"import os; os.mkdir({str(mark)!r})\nclass UNet: pass\n")
    (folder / "pipeline.py").write_text(f"import os; os.mkdir({str(mark)!r})\n")
    monkeypatch.syspath_prepend(str(folder / "unet"))
    tiny.edit_json(folder / "model_index.json", unet=["evil", "UNet"])
    refused(folder, "'unet' wants the class UNet of evil")
    assert not mark.exists()


@pytest.mark.parametrize("file", ["unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"])
def test_a_configuration_that_asks_for_code_is_refused(folder: Path, file: str) -> None:
    tiny.edit_json(folder / file, auto_map={"AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]})
    refused(folder, "wants its own code to be run")


def test_a_pipeline_of_its_own_is_refused(folder: Path) -> None:
    tiny.edit_json(folder / "model_index.json", _class_name=["my_pipeline", "MyPipeline"])
    refused(folder, "a pipeline with code of its own")
    tiny.edit_json(folder / "model_index.json", _class_name="StableDiffusionPipeline", custom_pipeline="evil")
    refused(folder, "wants its own code to be run")


def test_attention_kernels_from_elsewhere_are_not_fetched(folder: Path) -> None:
    tiny.edit_json(folder / "text_encoder" / "config.json", _attn_implementation="kernels-community/evil")
    tiny.edit_json(folder / "text_encoder" / "config.json", attn_implementation="kernels-community/evil")
    tiny.edit_json(folder / "unet" / "config.json", _attn_implementation="kernels-community/evil")
    assert load_diffusers_teacher(folder).condition(["a cat"], None)


def test_adapters_and_distributed_checkpoints_beside_the_weights_are_not_opened(folder: Path) -> None:
    mark = folder.parent / "mark"
    adapter = {"base_model_name_or_path": "../../elsewhere", "peft_type": "LORA"}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "text_encoder" / ".metadata").write_bytes(pickle.dumps(Trap(mark)))
    tiny.edit_json(folder / "text_encoder" / "config.json", transformers_weights="../../elsewhere.safetensors")
    assert load_diffusers_teacher(folder).condition(["a cat"], None)
    assert not mark.exists()


@pytest.mark.parametrize("key", ["init_inputs", "fast_tokenizer_files", "vocab_file"])
def test_a_tokenizer_that_names_other_files_is_refused(folder: Path, key: str) -> None:
    tiny.edit_json(folder / "tokenizer" / "tokenizer_config.json", **{key: ["../../tokenizer.9.json"]})
    refused(folder, f"points to other files \\('{key}'\\)")


def test_folders_of_a_tokenizer_are_refused(folder: Path) -> None:
    (folder / "tokenizer" / "additional_chat_templates").symlink_to(folder.parent)
    refused(folder, "must hold files only")


def test_the_tokenizer_files_of_early_checkpoints_load(folder: Path) -> None:
    new = load_diffusers_teacher(folder)
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(tiny_vocabulary(folder.parent), folder / "tokenizer")
    end = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False}
    tiny.edit_json(
        folder / "tokenizer" / "tokenizer_config.json",
        add_prefix_space=False,
        do_lower_case=True,
        eos_token={**end, "single_word": False},
        errors="replace",
        name_or_path="openai/clip-vit-large-patch14",
        special_tokens_map_file="./special_tokens_map.json",
        tokenizer_class="CLIPTokenizer",
    )
    old = load_diffusers_teacher(folder)
    for prompt in ("a red chair", "", "A Cat, 9"):
        assert torch.equal(new.condition([prompt], None).tensors["text"], old.condition([prompt], None).tensors["text"])


def tiny_vocabulary(work: Path) -> Path:
    """A folder with `vocab.json`, `merges.txt` and `tokenizer_config.json`, and no `tokenizer.json`."""
    tiny.clip_tokenizer(work / "early")
    return work / "early"


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_quantized_weights_are_refused(folder: Path, key: str) -> None:
    tiny.edit_json(folder / "unet" / "config.json", **{key: {"quant_method": "gptq"}})
    refused(folder, "quantized")


# Pickles


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_refused_and_not_opened(folder: Path, component: str) -> None:
    mark = folder.parent / "mark"
    for path in (folder / component).glob("*.safetensors"):
        path.with_suffix(".bin").write_bytes(pickle.dumps(Trap(mark)))
        path.unlink()
    refused(folder, f"{component} has only pickled weights .*use_safetensors=False")
    assert not mark.exists()


def test_pickled_weights_beside_safetensors_are_ignored(folder: Path) -> None:
    mark = folder.parent / "mark"
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Trap(mark)))
    load_diffusers_teacher(folder)
    assert not mark.exists()


def test_a_pickle_named_safetensors_is_not_unpickled(folder: Path) -> None:
    mark = folder.parent / "mark"
    (folder / "unet" / WEIGHTS).write_bytes(pickle.dumps(Trap(mark)))
    refused(folder, "broken or cut short")
    assert not mark.exists()


# Paths


def test_component_names_with_paths_are_refused(folder: Path) -> None:
    tiny.edit_json(folder / "model_index.json", **{"../elsewhere": ["diffusers", "UNet2DModel"]})
    refused(folder, "'../elsewhere' is not the name of a component")


@pytest.mark.parametrize("shard", ["../../stolen.safetensors", "/etc/passwd", "sub/part.safetensors", "..", "part.bin"])
def test_shards_outside_of_their_folder_are_refused(folder: Path, shard: str) -> None:
    (folder / "unet" / WEIGHTS).unlink()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": shard}}))
    refused(folder, "not the name of a safetensors file beside it; it was not opened")


@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", f"unet/{WEIGHTS}", "tokenizer/tokenizer.json"]
)
def test_a_link_out_of_the_folder_is_refused(folder: Path, file: str) -> None:
    outside = folder.parent / "outside"
    (folder / file).rename(outside)
    (folder / file).symlink_to(outside)
    refused(folder, "leads out of the teacher's folder; it was not opened")


def test_a_linked_component_is_refused(folder: Path) -> None:
    (folder / "unet").rename(folder.parent / "outside")
    (folder / "unet").symlink_to(folder.parent / "outside")
    refused(folder, "leads out of the teacher's folder")


def test_a_link_to_itself_is_refused(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()
    (folder / "unet" / "config.json").symlink_to(folder / "unet" / "config.json")
    refused(folder, "config.json")


def test_links_inside_of_the_hubs_cache_are_followed(folder: Path) -> None:
    repository = folder.parent / "models--someone--something"
    snapshot = repository / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    (repository / "blobs").mkdir()
    (snapshot / "unet" / WEIGHTS).rename(repository / "blobs" / "123")
    (snapshot / "unet" / WEIGHTS).symlink_to("../../../blobs/123")
    assert load_diffusers_teacher(snapshot).shape == (4, 8, 8)

    (snapshot / "vae" / WEIGHTS).rename(folder.parent / "outside")
    (snapshot / "vae" / WEIGHTS).symlink_to(folder.parent / "outside")
    refused(snapshot, "leads out of the teacher's folder")


# Broken folders


def test_missing_and_misnamed_folders(tmp_path: Path, folder: Path) -> None:
    refused(tmp_path / "nowhere", "there is no folder")
    refused(folder / "unet" / WEIGHTS, "is a single file")
    refused(folder / "unet", "has no model_index.json")


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        f"unet/{WEIGHTS}",
        f"vae/{WEIGHTS}",
        "text_encoder/model.safetensors",
    ],
)
def test_missing_files_are_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    refused(folder, f"{file.split('/')[0]}.*(is missing|has no).*is the folder complete")


@pytest.mark.parametrize("component", ["unet", "tokenizer"])
def test_missing_components_are_named(folder: Path, component: str) -> None:
    shutil.rmtree(folder / component)
    refused(folder, f"{component}.* is missing")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00\xff", "[" * 100_000])
@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "tokenizer/tokenizer_config.json"])
def test_broken_json_is_named(folder: Path, file: str, content: str) -> None:
    (folder / file).write_text(content, encoding="latin-1")
    refused(folder, f"{Path(file).name}:? (cannot be read as JSON|must hold a JSON object)")


@pytest.mark.parametrize("file", [f"unet/{WEIGHTS}", f"vae/{WEIGHTS}", "text_encoder/model.safetensors"])
@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_weights_that_were_cut_short_are_named(folder: Path, file: str, kept: int) -> None:
    path = folder / file
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, f"{path.name}: is broken or cut short")


def test_a_tokenizer_without_its_vocabulary_is_refused(folder: Path) -> None:
    """transformers would make one to which every word is the same unknown one."""
    (folder / "tokenizer" / "tokenizer.json").unlink()
    refused(folder, "tokenizer holds no vocabulary")


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "tokenizer/tokenizer.json"])
def test_files_of_no_bearable_size_are_not_read(folder: Path, file: str) -> None:
    os.truncate(folder / file, 65 * 2**20)
    refused(folder, "has 65 MB; 64 MB is the most for it")


def test_broken_tokenizer_files_are_named(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    refused(folder, "tokenizer: cannot be read as a CLIPTokenizer")


def test_a_sentencepiece_model_says_what_it_needs(tmp_path: Path) -> None:
    tiny.deepfloyd_if(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    (tmp_path / "teacher" / "tokenizer" / "tokenizer.json").unlink()
    (tmp_path / "teacher" / "tokenizer" / "spiece.model").write_bytes(b"no sentencepiece model")
    refused(tmp_path / "teacher", "pip install sentencepiece protobuf")


@pytest.mark.parametrize("file", [f"unet/{WEIGHTS}", f"vae/{WEIGHTS}", "text_encoder/model.safetensors"])
def test_missing_and_misshapen_weights_are_named(folder: Path, file: str) -> None:
    path = folder / file
    weights = load_file(path)
    name = max(weights)
    shape = weights[name].shape
    save_file({**weights, name: torch.zeros(7, *shape)}, path)
    refused(folder, "do not make a (network|text encoder)")
    save_file({key: value for key, value in weights.items() if key != name}, path)
    refused(folder, f"weights are missing.*{name}")


def test_weights_without_use_give_a_warning(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS
    save_file({**load_file(path), "camera_embedding.weight": torch.zeros(3)}, path)
    with pytest.warns(UserWarning, match="1 weights are not used, the first is camera_embedding.weight"):
        load_diffusers_teacher(folder)


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("unet/config.json", {"block_out_channels": "wide"}, "do not make a network"),
        ("unet/config.json", {"block_out_channels": [16, 16]}, "do not make a network"),
        ("unet/config.json", {"sample_size": None}, "sample_size"),
        ("vae/config.json", {"scaling_factor": "half"}, "do not fit together"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": "many"}, "do not fit together|cannot be read"),
        ("text_encoder/config.json", {"hidden_size": 10}, "do not make a text encoder"),
        ("text_encoder/config.json", {"vocab_size": "many"}, "do not make a text encoder"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "none such"}, "makes no noise schedule"),
        ("scheduler/scheduler_config.json", {"prediction_type": "guess"}, "makes no noise schedule"),
        ("scheduler/scheduler_config.json", {"use_flow_sigmas": True}, "goes with prediction_type flow_prediction"),
        ("scheduler/scheduler_config.json", {"timestep_type": "continuous"}, "continuous timesteps"),
        ("model_index.json", {"image_decoder": ["diffusers", "VQModel"]}, "'image_decoder'.*no supported teacher has"),
        (
            "model_index.json",
            {"scheduler": ["diffusers", "LCMScheduler"]},
            "a LCMScheduler: this is a distilled student",
        ),
        ("model_index.json", {"scheduler": ["diffusers", "EDMEulerScheduler"]}, "scaled in EDM's way"),
        ("model_index.json", {"unet": 1}, "no 'unet', which this teacher needs"),
        ("model_index.json", {"unet": ["diffusers"]}, r"must be \[library, class\]"),
        ("model_index.json", {"unet": ["diffusers", {"a": 1}]}, r"must be \[library, class\]"),
        ("model_index.json", {"text_encoder": [None, None]}, "no 'text_encoder', which this teacher needs"),
    ],
)
def test_configurations_that_do_not_fit_are_explained(
    folder: Path, file: str, changes: dict[str, Any], reason: str
) -> None:
    tiny.edit_json(folder / file, **changes)
    refused(folder, reason)


# Layouts


def test_sharded_and_half_precision_weights_load(folder: Path) -> None:
    whole = load_diffusers_teacher(folder)
    weights = load_file(folder / "unet" / WEIGHTS)
    (folder / "unet" / WEIGHTS).unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / "unet" / part)
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: part for part, held in parts.items() for name in held}}))
    half = {key: value.half() for key, value in load_file(folder / "vae" / WEIGHTS).items()}
    (folder / "vae" / WEIGHTS).unlink()
    save_file(half, folder / "vae" / "diffusion_pytorch_model.fp16.safetensors")

    teacher = load_diffusers_teacher(folder)

    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, teacher.network.state_dict()[name])
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(teacher.encode(image), whole.encode(image), rtol=0.02, atol=0.02)


# The hub


def test_a_name_is_never_downloaded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **how: asked.append(how) or nothing_cached())
    monkeypatch.setattr(hub, "downloaded", lambda name: pytest.fail("a download was tried"))
    monkeypatch.chdir(tmp_path)

    with pytest.raises(TeacherFolderError, match="allow_download=True"):
        load_diffusers_teacher("someone/something")
    assert asked == [{"local_files_only": True}]
    for no_name in ("something", "../something", "a/b/c", "someone/.."):
        with pytest.raises(TeacherFolderError, match="there is no folder"):
            find_teacher_folder(no_name, allow_download=True)


def nothing_cached() -> str:
    raise FileNotFoundError("not in the cache")


def test_the_local_cache_says_no_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TeacherFolderError, match="no copy of the repository nobody/nothing-of-the-kind"):
        find_teacher_folder("nobody/nothing-of-the-kind")


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class ConnectError(Exception):
        """What the hub's client raises without a network is no OSError."""

    def fail(name: str, file: str) -> str:
        raise ConnectError("no route\nto host")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(
        TeacherFolderError, match=r"^nobody/nothing: cannot be fetched from the hub \(no route to host\)$"
    ):
        find_teacher_folder("nobody/nothing", allow_download=True)


def test_without_a_network_the_copy_in_the_cache_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Path:
        raise TeacherFolderError("me/sd: cannot be fetched from the hub (no route)")

    monkeypatch.setattr(hub, "downloaded", fail)
    monkeypatch.setattr(hub, "snapshot_download", lambda name, local_files_only: str(folder))
    with pytest.warns(UserWarning, match=r"\(no route\); the copy on this machine is taken"):
        assert load_diffusers_teacher("me/sd", allow_download=True).shape == (4, 8, 8)


def test_a_local_folder_wins_over_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "downloaded", lambda name: pytest.fail("a download was tried"))
    monkeypatch.chdir(folder.parent.parent)
    name = f"{folder.parent.name}/{folder.name}"
    assert find_teacher_folder(name, allow_download=True).path == Path(name)


def test_a_download_fetches_data_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(hub, "hf_hub_download", lambda name, file: str(folder / file))
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    monkeypatch.setattr(hub.HfApi, "list_repo_files", lambda self, name: [*files, "unet/evil.py", "setup.py"])
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, allow_patterns: fetched.extend(allow_patterns) or str(folder)
    )
    assert load_diffusers_teacher("someone/something", allow_download=True).shape == (4, 8, 8)
    assert sorted(fetched) == sorted(files)


def test_needed_files_leave_out_code_pickles_copies_and_unused_parts() -> None:
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "image_encoder": [None, None],
    }
    kept = [
        "model_index.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]
    left = [
        "README.md",
        "v1-5-pruned.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/evil.py",
        "unet/deep/config.json",
        "safety_checker/model.safetensors",
        "image_encoder/model.safetensors",
    ]
    assert needed_files(index, kept + left) == kept


def test_opening_reads_the_index_and_nothing_else(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    opened = open_teacher_folder(folder)
    assert opened.has("unet")
    assert not opened.has("safety_checker")
    assert not opened.has("_class_name")


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], "StableDiffusionPipeline as P; P.from_single_file"),
        (["model.diffusion_model.a", "conditioner.embedders.0.b"], "StableDiffusionXLPipeline as P"),
        (["lora_unet_down.lora_up.weight"], "a LoRA, an embedding, or a part"),
    ],
)
def test_a_single_file_is_told_how_it_becomes_a_folder(tmp_path: Path, tensors: list[str], said: str) -> None:
    save_file({name: torch.zeros(1) for name in tensors}, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", said)


def test_a_single_pickle_is_never_opened_and_the_danger_is_said(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "mark")}, tmp_path / "model.ckpt")
    refused(tmp_path / "model.ckpt", "only if you trust its author")
    assert not (tmp_path / "mark").exists()


def test_a_folder_of_one_file_says_what_to_do_with_it(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    refused(tmp_path, r"it has model\.ckpt; convert it once: python -c .*only if you trust its author")
    assert not (tmp_path / "mark").exists()
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    refused(tmp_path, r"name its file .*a\.safetensors itself$")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "a.safetensors").symlink_to(tmp_path / "a.safetensors")
    refused(tmp_path / "linked", "a teacher is a folder in the diffusers layout$")  # outside, so it was not opened


def test_a_folder_of_a_lora_is_called_one(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "pytorch_lora_weights.safetensors")
    refused(tmp_path, "is a LoRA")


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_half_precision_copy_is_read_where_it_is_enough(folder: Path, half: torch.dtype) -> None:
    full = load_file(folder / "unet" / WEIGHTS)
    other = {name: value.half() + 1 for name, value in full.items()}
    save_file(other, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    of_full, of_half = load_diffusers_teacher(folder), load_diffusers_teacher(folder, dtype=half)
    difference = of_half.network.conv_in.bias.float() - of_full.network.conv_in.bias
    assert float(difference.mean()) == pytest.approx(1, abs=0.02)


def test_half_precision_copies_are_downloaded_where_they_are_enough() -> None:
    index = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    full, half = f"unet/{WEIGHTS}", "unet/diffusion_pytorch_model.fp16.safetensors"
    shards = [f"vae/diffusion_pytorch_model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2)]
    shards.append("vae/diffusion_pytorch_model.safetensors.index.fp16.json")
    files = ["unet/config.json", full, half, "vae/config.json", *shards]
    assert set(needed_files(index, files)) == {"model_index.json", *files} - {half}
    assert set(needed_files(index, files, half_is_enough=True)) == {"model_index.json", *files} - {full}


def test_a_student_with_its_teachers_scheduler_is_known_by_its_name(folder: Path) -> None:
    turbo = folder.rename(folder.parent / "sd-turbo")
    with pytest.warns(UserWarning, match=r"a distilled student by its name \('turbo'\)"):
        load_diffusers_teacher(turbo)


def test_an_inpainting_network_is_called_one(tmp_path: Path) -> None:
    tiny.stable_diffusion(tmp_path / "work", in_channels=9).save_pretrained(tmp_path / "teacher")
    refused(tmp_path / "teacher", "upscalers, inpainting and depth networks are no teachers")
