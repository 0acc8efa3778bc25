"""The folder of a teacher that was changed while it was loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sds.teachers.changed_folder import parts_of
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.options import AS_IT_IS, TeacherOptions
from tests.sds import original_layout
from tests.sds import tiny_pipelines as tiny
from tests.sds.test_teacher_changes import file_of_layout

PROMPTS = ["a red chair", "a thing", "a red chair, a thing"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A teacher as a folder and as one file, a LoRA for network and text encoder, and a word of two vectors."""
    root = tmp_path_factory.mktemp("changed")
    pipeline = tiny.stable_diffusion(root / "work")
    pipeline.save_pretrained(root / "teacher")
    tiny.edit_json(root / "teacher" / "text_encoder" / "config.json", eos_token_id=2)  # as it is published
    save_file(original_layout.stable_diffusion(pipeline), root / "model.safetensors")
    file_of_layout(pipeline, root / "lora.safetensors", "kohya", 1.0)
    save_file({"emb_params": torch.full((2, 8), 0.5)}, root / "thing.safetensors")
    return {name.split(".")[0]: root / name for name in ("teacher", "model.safetensors", "lora.safetensors",
                                                         "thing.safetensors")}  # fmt: skip


@pytest.mark.parametrize("weights", ["teacher", "model"])
def test_it_says_and_draws_what_the_changed_teacher_does(places: dict[str, Path], weights: str, tmp_path: Path) -> None:
    options = TeacherOptions(
        config=str(places["teacher"]) if weights == "model" else "",
        loras=(f"{places['lora']}:2",),
        words=(str(places["thing"]),),
    )
    changed = load_diffusers_teacher(places[weights], options=options)
    with parts_of(places[weights], options, torch.float32) as folder:
        assert not (folder / "unet").exists()
        changed.network.save_pretrained(folder / "unet")
        again = load_diffusers_teacher(folder)
    plain = load_diffusers_teacher(places["teacher"])
    for prompt in PROMPTS:
        said = [teacher.condition([prompt], None).tensors["text"] for teacher in (changed, again, plain)]
        torch.testing.assert_close(said[1], said[0])
        assert not torch.allclose(said[2], said[0], atol=1e-3)
    x = torch.randn(1, *plain.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.decode(x), changed.decode(x))
    torch.testing.assert_close(again.decode(x), plain.decode(x), rtol=1e-4, atol=1e-5)


def test_of_a_teacher_as_it_is_the_folder_is_its_own(places: dict[str, Path]) -> None:
    for options in (AS_IT_IS, TeacherOptions(tiny_autoencoder="nowhere", compiled=True)):
        with parts_of(places["teacher"], options, torch.float32) as folder:
            assert folder == places["teacher"]
