"""Whole runs of the command on a card, with a tiny teacher: what is made there, and what a full card looks like."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from cli.commands import doctor
from cli.main import main
from cli.scenes import generation, loading, results
from cli.scenes.scene import Scene
from representations.fields import packed
from representations.fields.encodings import hash_levels
from representations.surfaces import differentiable_rasterizer as meshes
from sds.teachers import shape_teacher
from sds.teachers.diffusers import load_diffusers_teacher
from tests.card.conftest import EVERYTHING, REAL
from tests.card.rules import Counts
from tests.cli.conftest import small_runs  # noqa: F401  # sizes that take moments
from tests.cli.small import shrink

RUNS = [
    ["--method", "vsd", "--stages", "nerf"],
    ["--method", "nfsd", "--stages", "mesh"],
    ["--method", "csd", "--stages", "nerf", "--encoding", "hash"],
    ["--method", "sds", "--representation", "pixels"],
    *([["--method", "sds"], ["--method", "sds", "--perp-neg", "--encoding", "hash"]] if EVERYTHING else []),
]

MOST_WAITS = 30
"""Synchronisations that a step may have, with its share of what a run does at its end."""


def generate(teacher: Path, out: Path, *more: str) -> int:
    words = ["generate", "a red chair", "--teacher", str(teacher), "--out", str(out), "--steps", "2", *more]
    return main(words)


@pytest.mark.parametrize("more", RUNS, ids=" ".join)
def test_a_run_on_the_card(
    teachers: dict[str, Path], card: Counts, tmp_path: Path, monkeypatch, more: list[str]
) -> None:
    waits: list[int] = []
    step = Scene.step

    def counted(self: Scene) -> object:
        card.clear()
        result = step(self)
        waits.append(card.total("synchronisations"))
        assert card.total("float64") == 0, card.listed("float64")
        return result

    monkeypatch.setattr(Scene, "step", counted)
    assert generate(teachers["stable-diffusion"], tmp_path / "out", *more) == 0
    assert (tmp_path / "out" / "preview.png").exists()
    assert max(waits) <= MOST_WAITS, card.listed("synchronisations")
    if "pixels" not in more:
        assert (tmp_path / "out" / "mesh.glb").exists()
        assert (tmp_path / "out" / "metrics.json").exists()


def test_a_student_is_made_drawn_from_and_measured_on_the_card(
    teachers, card: Counts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "student"
    small = ["--steps", "4", "--pairs", "64", "--batch-size", "2", "--path-steps", "4", "--method", "one-pass"]
    words = [
        "distill",
        "--teacher",
        str(teachers["deepfloyd-if"]),
        "--prompt",
        "a red chair",
        "--out",
        str(out),
        *small,
    ]
    assert main(words) == 0
    assert main(["sample", str(out), "a red chair", "--count", "2", "--out", str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 2
    if not EVERYTHING:  # fifty steps of the teacher for each picture
        return
    capsys.readouterr()
    assert main(["evaluate", str(out), "--images", "64"]) == 0
    assert "frechet" in capsys.readouterr().out.lower()


def test_a_run_is_measured_on_the_card(teachers, card: Counts, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    assert generate(teachers["deepfloyd-if"], out, "--stages", "nerf") == 0
    before = (out / "metrics.json").read_text()
    assert main(["evaluate", str(out)]) == 0
    assert (out / "metrics.json").read_text() == before
    monkeypatch.setattr(loading, "load_teacher", lambda *_, **__: pytest.fail("exporting needs no big teacher"))
    assert main(["export", str(out), "--format", "stl"]) == 0


@pytest.mark.parametrize(
    ("since", "writing", "due"), [(16, 0.2, True), (14, 0.2, False), (16, 4, False), (81, 4, True)]
)
def test_large_checkpoints_are_written_less_often(monkeypatch, since: float, writing: float, due: bool) -> None:
    """0.9 GB of a texture take seconds: at most a twentieth of a run goes into writing."""
    now = [100.0]
    folder = SimpleNamespace(read_configuration=dict, checkpoint=None, note_seconds=lambda *_: None)
    monkeypatch.setattr(generation, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(generation, "save_checkpoint", lambda *_: now.append(now.pop() + writing))
    saving = generation.Saving(SimpleNamespace(state_dict=dict), folder)
    saving.save()
    now[0] += since
    assert saving.is_due is due


@pytest.fixture
def full_after_one_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    steps = []
    step = Scene.step

    def until_full(self: Scene) -> object:
        steps.append(self)
        if len(steps) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(self)

    monkeypatch.setattr(Scene, "step", until_full)
    return


@pytest.mark.usefixtures("full_after_one_step")
def test_a_full_card_is_one_line_and_the_run_goes_on_later(
    teachers: dict[str, Path], card: Counts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert generate(teachers["deepfloyd-if"], out, "--representation", "pixels") == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("scoresmith: the card's memory is full")
    assert "--resume" in said
    assert main(["generate", "--resume", str(out)]) == 0
    assert (out / "preview.png").exists()


def test_text_encoders_are_let_go_after_the_last_prompt_is_read(teachers: dict[str, Path], card: Counts) -> None:
    teacher = load_diffusers_teacher(teachers["stable-diffusion"], "cuda")
    teacher.release_text_encoders(["a red chair", "a cat"])
    assert teacher.prompts.encode is None
    assert len(teacher.condition(["a cat", "", "a red chair"], None)) == 3
    with pytest.raises(RuntimeError, match="released"):
        teacher.condition(["a dog"], None)


@pytest.mark.parametrize(
    ("seconds", "views", "expected"), [(0.01, 8, (20, 8)), (0.5, 8, (15, 8)), (2.0, 8, (8, 3)), (57.0, 8, (8, 0))]
)
def test_the_teachers_own_sheet_takes_no_longer_than_a_minute(
    seconds: float, views: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SHEET_STEPS", 20)
    monkeypatch.setattr(results, "FEWEST_STEPS", 8)
    steps, drawn = results.affordable(seconds, views)
    assert (steps, drawn) == expected
    assert steps * drawn * seconds <= results.SHEET_SECONDS


@pytest.mark.skipif(REAL, reason="about packages that fail")
@pytest.mark.parametrize("kind", ["does not load", "is off", "lacks the function"])
def test_an_accelerator_that_fails_its_trial_is_not_used(card: Counts, monkeypatch, kind: str) -> None:
    broken = ModuleType("nerfacc")
    if kind == "is off":
        broken.render_weight_from_density = lambda a, b, s, **_: (s + 1, s, s)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nerfacc", None if kind == "does not load" else broken)
    accelerator = type(packed.NERFACC)(packed.NERFACC.package, packed.NERFACC.use, packed.NERFACC.trial)
    monkeypatch.setattr(packed, "NERFACC", accelerator)
    ends, rays = torch.tensor([0.1, 0.2], device="cuda"), torch.tensor([0, 1], device="cuda")
    weights, _, _ = packed.render_weight_from_density(ends - 0.1, ends, ends, rays, 2)
    torch.testing.assert_close(weights.cpu(), 1 - torch.exp(-torch.tensor([0.01, 0.02])))
    line = next(line for line in doctor.accelerator_lines() if "nerfacc" in line)
    assert "not in use" in line
    assert {"does not load": "not installed", "is off": "off by", "lacks the function": "AttributeError"}[kind] in line


@pytest.mark.skipif(REAL, reason="about packages that fail")
@pytest.mark.parametrize("blends", [True, False])
def test_nvdiffrast_is_used_only_if_its_blending_works_too(card: Counts, monkeypatch, blends: bool) -> None:
    def rasterize(context: object, clip: torch.Tensor, faces: torch.Tensor, size: list[int]) -> tuple:
        del context
        flipped = clip.detach() * clip.new_tensor([1.0, -1.0, 1.0, 1.0])
        face = meshes._with_compiled_loops(flipped, faces.cpu().numpy(), size[0])[0]
        return F.pad(face[..., None] + 1.0, (3, 0)), None

    def antialias(image: torch.Tensor, raster: torch.Tensor, clip: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        if not blends:
            raise RuntimeError("no kernel image is available")
        return image + 0 * clip.sum()

    package, inside = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    package.torch, inside.rasterize, inside.antialias = inside, rasterize, antialias
    inside.RasterizeCudaContext = lambda device: device
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", inside)
    meshes._nvdiffrast_context.cache_clear()
    problem = type(meshes.NVDIFFRAST)("nvdiffrast", "meshes", meshes.NVDIFFRAST.trial).problem
    meshes._nvdiffrast_context.cache_clear()
    assert problem == (None if blends else "RuntimeError: no kernel image is available")


def test_sums_along_rays_are_the_same_without_double_precision(card: Counts) -> None:
    rng = torch.Generator().manual_seed(0)
    values, rays = torch.rand(50, generator=rng), torch.randint(7, (50,), generator=rng).sort().values
    there = packed._before_each(values.to("cuda"), rays.to("cuda"), 9)
    assert card.total("float64") == 0
    torch.testing.assert_close(there.cpu(), packed._before_each(values, rays, 9), rtol=1e-5, atol=1e-6)


def test_hash_grids_have_the_rows_that_tiny_cuda_nn_gives_them() -> None:
    scale = (512 / 16) ** (1 / 15)
    last = hash_levels(16, 16, scale, 19)[-1]
    assert last.start + last.size == 5_261_688  # by its own `grid.h`, in float32


def test_the_shipped_teacher_makes_a_mesh_on_the_card(card: Counts, tmp_path: Path, monkeypatch) -> None:
    """What anybody with an NVIDIA card does first: `make demo` takes the card by itself."""
    shrink(monkeypatch)
    monkeypatch.setattr(shape_teacher, "_ONE_FIELD_SIDE", 32)
    waits: list[int] = []
    step = Scene.step

    def counted(self: Scene) -> object:
        card.clear()
        result = step(self)
        waits.append(card.total("synchronisations"))
        return result

    monkeypatch.setattr(Scene, "step", counted)
    assert main(["generate", "a teddy bear", "--stages", "nerf", "--steps", "2", "--out", str(tmp_path / "out")]) == 0
    assert max(waits) <= MOST_WAITS, card.listed("synchronisations")
    assert (tmp_path / "out" / "report.html").exists()
