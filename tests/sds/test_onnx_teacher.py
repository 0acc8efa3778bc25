"""Teachers of ONNX files say what their torch originals say, and can sculpt."""

from pathlib import Path

import pytest
import torch

from cli.main import main
from cli.teachers import load_teacher
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError
from sds.teachers.onnx_runtime import is_onnx_folder, load_onnx_teacher
from tests.sds import tiny_pipelines as tiny
from tests.sds.onnx_export import as_onnx

pytest.importorskip("onnx", reason="exporting needs it")
pytest.importorskip("onnxruntime", reason="pip install onnxruntime")

KINDS = {"sd": tiny.stable_diffusion, "sdxl": tiny.stable_diffusion_xl}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Of each kind the folder of torch and that of ONNX."""
    made = {}
    for name, kind in KINDS.items():
        work = tmp_path_factory.mktemp(name)
        pipeline = kind(work / "work")
        pipeline.save_pretrained(work / "torch")
        made[name] = work / "torch", as_onnx(work / "torch", pipeline, work / "onnx")
    return made


@pytest.mark.parametrize("name", KINDS)
def test_it_says_what_the_torch_teacher_says(folders: dict[str, tuple[Path, Path]], name: str) -> None:
    """Also with another time for each image, though the file takes one for all."""
    original, exported = load_diffusers_teacher(folders[name][0]), load_onnx_teacher(folders[name][1])
    prompts = ["a red chair", "", "a cat"]
    condition, expected_condition = exported.condition(prompts, None), original.condition(prompts, None)
    for key, value in expected_condition.tensors.items():
        torch.testing.assert_close(condition.tensors[key], value, rtol=1e-4, atol=1e-4)
    x_t = torch.randn(3, *original.shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.3, 0.7, 0.3], dtype=torch.float64)
    assert exported.shape == original.shape
    torch.testing.assert_close(exported(x_t, t, condition), original(x_t, t, condition), rtol=1e-4, atol=1e-4)
    image = torch.rand(1, 3, 20, 20, requires_grad=True)
    x = exported.encode(image)
    torch.testing.assert_close(x, original.encode(image))
    x.sum().backward()
    assert bool((image.grad != 0).any())
    assert not hasattr(exported, "network")  # as who asks whether it could be trained looks at it


def test_whole_numbers_of_eight_bits_come_near(folders: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    small = tmp_path / "int8"
    pipeline = tiny.stable_diffusion(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "torch")
    as_onnx(tmp_path / "torch", pipeline, small)
    quantization.quantize_dynamic(small / "unet" / "model.onnx", small / "unet" / "model_quantized.onnx")
    (small / "unet" / "model.onnx").unlink()
    full, eight = load_onnx_teacher(folders["sd"][1]), load_onnx_teacher(small)
    condition = full.condition(["a cat"], None)
    x_t, t = torch.randn(1, *full.shape, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5]).double()
    expected, found = full(x_t, t, condition), eight(x_t, t, condition)
    assert 0 < (found - expected).norm() < 0.1 * expected.norm()


def test_the_command_sculpts_with_it(folders: dict[str, tuple[Path, Path]], tmp_path: Path, capsys) -> None:
    words = ["generate", "a red chair", "--teacher", str(folders["sd"][1]), "--representation", "pixels"]
    assert main([*words, "--steps", "2", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "preview.png").exists()
    assert main([*words, "--method", "vsd", "--steps", "2", "--out", str(tmp_path / "vsd")]) == 2
    assert "cannot be trained" in capsys.readouterr().err


def test_what_cannot_be_a_teacher_is_said_at_once(folders: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "torch")
    bare = as_onnx(tmp_path / "torch", pipeline, tmp_path / "bare", keep_autoencoder=False)
    assert is_onnx_folder(bare)
    with pytest.raises(TeacherFolderError, match="copy the folder vae"):
        load_teacher(str(bare), torch.device("cpu"))
    (bare / "unet" / "config.json").write_text('{"_class_name": "Other"}')
    with pytest.raises(TeacherFolderError, match="_class_name"):
        load_onnx_teacher(bare)
    tiny.edit_json(bare / "unet" / "config.json", _class_name="UNet2DConditionModel")
    (bare / "vae_encoder").rmdir()
    (bare / "unet" / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(TeacherFolderError):
        load_onnx_teacher(bare)
