"""The training program in its smallest form: three tiny meshes, a few steps, a folder that loads and draws."""

import contextlib
import importlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

PROGRAM = Path(__file__).parents[2] / "examples" / "train_teacher"
sys.path.insert(0, str(PROGRAM))

from build_fields import HELD_OUT_VIEWS  # noqa: E402 - the programs of an example import each other as scripts do
from captions import COLOURS, Caption, CaptionWriter, jittered, read_held_out  # noqa: E402
from catalogue import CatalogueEntry, read_catalogues, read_mesh_folder  # noqa: E402
from curation import Noun, Repaint, curate, read_nouns  # noqa: E402
from look_data import LookDataset, random_backgrounds, spread_views  # noqa: E402
from meshes import OBJECT_RADIUS, load_mesh  # noqa: E402
from objects import Variant, places_in, read_objects  # noqa: E402
from pairs import Pair, colour_of, related_pairs  # noqa: E402
from render import ViewAngles, sample_views  # noqa: E402
from render_looks import LookRenderer  # noqa: E402
from sort_variants import order_of  # noqa: E402
from training import Average, Trainer, cosine_rate, load_checkpoint, save_checkpoint  # noqa: E402

from sds.recognition import Recogniser  # noqa: E402
from sds.teachers.layers import LOOKS, OPACITY, Look  # noqa: E402
from sds.teachers.materials import MATERIALS, Paint  # noqa: E402
from sds.teachers.shape_pipeline import ShapePipeline  # noqa: E402
from sds.teachers.shape_prior import ShapePrior  # noqa: E402
from sds.teachers.shape_teacher import load_shape_teacher  # noqa: E402


def entry(path: Path, size: tuple[float, float, float] | None = None) -> CatalogueEntry:
    return CatalogueEntry("key", "thing", "library", "somebody", path, size, np.eye(3))


def red_box(path: Path) -> Path:
    box = trimesh.creation.box((1, 1, 1))
    box.visual = trimesh.visual.TextureVisuals(
        uv=np.zeros((len(box.vertices), 2)),
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255]),
    )
    box.export(path)
    return path


@pytest.fixture(scope="module")
def mesh_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    red_box(folder / "red_box.glb")
    trimesh.creation.icosphere(subdivisions=2).export(folder / "ball-1.ply")
    trimesh.creation.cone(0.5, 1.5).export(folder / "ball-2.stl")
    return folder


@pytest.fixture(scope="module")
def data(mesh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    small = ("--size", 16, "--views", 4, "--cameras", 8, "--workers", 1)
    run("build_fields.py", "--meshes", mesh_folder, "--out", out, *small)
    return out


def run(program: str, *arguments: object) -> str:
    """Runs a program's command line in this process and returns what it prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", [program, *map(str, arguments)])
        importlib.import_module(program.removesuffix(".py")).main()
    return printed.getvalue()


def test_meshes_are_centred_in_the_sphere_and_keep_the_catalogues_proportions(tmp_path: Path) -> None:
    path = tmp_path / "box.ply"
    trimesh.creation.box((5, 5, 5)).apply_translation((7, 0, 0)).export(path)
    mesh = load_mesh(entry(path, size=(1.0, 2.0, 2.0)))
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(OBJECT_RADIUS)
    extent = np.ptp(mesh.vertices, axis=0)
    np.testing.assert_allclose(extent / extent[0], [1, 2, 2], rtol=1e-5)
    np.testing.assert_allclose(mesh.vertices.mean(0), 0, atol=1e-6)


def test_a_box_is_as_wide_as_perspective_makes_it(tmp_path: Path) -> None:
    renderer = LookRenderer(load_mesh(entry(red_box(tmp_path / "box.glb"))), size=32)
    opacity = renderer.render(ViewAngles(0.0, 0.0))[OPACITY][0] / 255
    # Seen from 2.8 the front face, side 2 * 0.9 / sqrt(3), stands half a side nearer.
    half = 0.9 / np.sqrt(3)
    width = half / (2.8 - half) / np.tan(np.radians(19)) * 32
    assert opacity[16].sum() == pytest.approx(width, abs=0.2)
    assert opacity[0, 0] == 0


def test_azimuth_grows_counter_clockwise_seen_from_above(tmp_path: Path) -> None:
    """A small ball before (+Z) a big one: a camera at +X, a quarter turn counter-clockwise, sees it on the left."""
    small = trimesh.creation.icosphere(1, 0.1).apply_translation((0, 0, 1))
    trimesh.util.concatenate([trimesh.creation.icosphere(1, 0.3), small]).export(tmp_path / "balls.ply")
    renderer = LookRenderer(load_mesh(entry(tmp_path / "balls.ply")), size=32)
    opacity = renderer.render(ViewAngles(np.pi / 2, 0.0))[OPACITY][0].astype(float)
    left, right = opacity[:, :16].sum(), opacity[:, 16:].sum()
    assert 0 < left < right / 2


def test_views_cover_the_circle() -> None:
    views = sample_views(36, np.random.default_rng(0))
    azimuth = np.sort([view.azimuth for view in views])
    assert (np.diff(azimuth) < np.radians(20)).all()
    elevation = np.degrees([view.elevation for view in views])
    assert (elevation >= -10).all()
    assert (elevation <= 80).all()


def test_captions_say_what_is_painted_and_keep_held_out_pairs_out() -> None:
    nouns = [Noun("sofa", ("couch",)), Noun("man", (), Repaint.NEVER)]
    writer = CaptionWriter(nouns, frozenset({("red", "sofa"), ("wooden", "sofa")}))
    generator = np.random.default_rng(0)
    captions = [writer.write("sofa", "leather sofa", generator) for _ in range(1000)]
    assert {caption.colour for caption in captions} == set(COLOURS) - {"red"} | {None}
    assert {caption.material for caption in captions} == set(MATERIALS) - {"wooden"} | {None}
    names = set()
    for caption in captions:
        said = (caption.colour is not None) + (caption.material is not None)
        names.add(caption.text.split(" ", said)[-1])
        assert caption.material is None or caption.material in caption.text
        if caption.colour is not None:
            assert caption.paint is not None
            assert np.abs(np.subtract(caption.paint.colour, COLOURS[caption.colour])).max() < 0.3
        elif caption.material is None:
            assert caption.paint is None
    assert names == {"sofa", "couch", "leather sofa"}
    assert all(writer.write("man", "", generator).paint is None for _ in range(50))
    assert np.abs(jittered(COLOURS["blue"], generator) - COLOURS["blue"]).max() < 0.25


def test_the_tables_of_the_shipped_teacher_fit_together() -> None:
    nouns = {noun.name: noun for noun in read_nouns(PROGRAM / "nouns.csv")}
    assert len(nouns) >= 110
    held_out = read_held_out(PROGRAM / "held_out.csv")
    assert len(held_out) >= 40
    assert {noun for _, noun in held_out} <= nouns.keys()
    assert {colour for colour, _ in held_out} <= COLOURS.keys()
    assert all(nouns[noun].repaint is not Repaint.NEVER for _, noun in held_out)


def test_the_data_set(data: Path) -> None:
    objects, nouns = read_objects(data)
    training, measuring = LookDataset(data, objects, 2), LookDataset(data, objects, 2, held_out=True)
    assert [variant.noun for variant in objects] == ["ball", "ball", "red box"]
    assert (training.layers.shape[1], measuring.layers.shape[1]) == (2, HELD_OUT_VIEWS)
    shown = training.sample(8, CaptionWriter(nouns), np.random.default_rng(0))
    assert shown.picture.shape == (8, 3, 16, 16)
    # Outside the object the picture is the background that the teacher is told.
    torch.testing.assert_close(shown.picture[..., 0, 0], shown.background)
    count = len(LOOKS)
    blue = [Caption("blue red box", "blue", Paint((0.0, 0.0, 1.0)))] * count
    box, white = np.full(count, 2), np.ones((count, 3), np.float32)
    looks = measuring.compose(box, np.zeros(count, int), blue, np.arange(count), white).picture[:, :, 8, 8]
    assert looks[LOOKS.index(Look.ALBEDO)].tolist() == pytest.approx([0, 0, 1], abs=0.02)
    lit = looks[LOOKS.index(Look.LIT)]
    assert lit[:2].tolist() == pytest.approx([0, 0], abs=0.02)
    assert 0.4 < float(lit[2]) <= 1
    assert float((looks[LOOKS.index(Look.NORMALS)] * 2 - 1).norm()) == pytest.approx(1, abs=0.05)


def test_the_views_that_are_taken_are_spread_around_the_object(data: Path) -> None:
    assert spread_views(60 + HELD_OUT_VIEWS, 12).tolist() == list(range(0, 60, 5))
    assert spread_views(60 + HELD_OUT_VIEWS, 40)[-1] == 58
    assert spread_views(4 + HELD_OUT_VIEWS, 100).tolist() == [0, 1, 2, 3]


def test_pairs_are_of_known_things_and_say_how_they_stand() -> None:
    assert [pair.prompt for pair in related_pairs(["chair", "table", "cat"])] == [
        "a chair beside a table",
        "a cat on a chair",
    ]
    assert Pair("vase", "sofa", on=False).prompt == "a vase beside a sofa"


def test_each_noun_keeps_its_places_and_its_clearest_comes_first() -> None:
    order = order_of(["ball", "box", "ball", "cup", "ball"], [0.2, 0.5, 0.9, 0.1, 0.4], {})
    assert order == [2, 1, 4, 3, 0]


def test_of_variants_that_are_nearly_as_clear_the_one_learned_best_comes_first() -> None:
    nouns, clear = ["ball"] * 4, [0.2, 0.9, 0.5, 0.7]
    assert order_of(nouns, clear, {0: 0.1, 1: 0.8, 2: 0.2, 3: 0.4}) == [3, 1, 2, 0]
    assert order_of(nouns, clear, {0: 0.1, 1: 0.8}) == [1, 3, 2, 0]  # of one of the two it is not known


def test_variants_are_found_in_a_prior_by_what_they_are() -> None:
    config = {
        "variants": ["ball", "ball", "cup", "cup"],
        "fine_names": ["", "", "tea cup", "tea cup"],
        "sizes": [0.1, 0.3, 0.2, 0.2],
    }
    wanted = [Variant("a", "ball", "", 0.3), Variant("b", "ball", "", 0.1 + 1e-9), Variant("c", "cup", "", 0.2)]
    assert places_in(config, [*wanted, Variant("d", "cup", "tea cup", 0.2)]) == [1, 0, None, None]


def test_backgrounds_are_white_gray_or_coloured() -> None:
    colours = random_backgrounds(2000, np.random.default_rng(0))
    white = (colours == 1).all(1)
    gray = ~white & (colours == colours[:, :1]).all(1)
    assert white.mean() == pytest.approx(0.3, abs=0.05)
    assert gray.mean() == pytest.approx(0.55, abs=0.05)


def test_the_colour_of_a_picture_is_that_of_its_object() -> None:
    picture = torch.ones(3, 16, 16)
    assert colour_of(picture) == "white"
    for name, colour in COLOURS.items():
        for shade in (1.0, 0.7):
            picture[:, 4:12, 4:12] = shade * torch.tensor(colour)[:, None, None]
            assert colour_of(picture) == name or (name in ("white", "gray") and shade < 1)


def test_average_and_rate() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = Average(module, decay=0.5)
    module.weight.data.fill_(1.0)
    average.update(module)  # memory is short at first: min(0.5, 2 / 11)
    assert float(average.values["weight"]) == pytest.approx(1 - 2 / 11)
    assert cosine_rate(0, 100, 1.0, warmup=10) == pytest.approx(0.1)
    assert cosine_rate(100, 100, 1.0, warmup=10) == pytest.approx(0.02)


def test_checkpoints_restore_randomness_and_replace_whole(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"step": 7}, generator)
    expected = (generator.random(), torch.rand(1))
    assert load_checkpoint(path, generator)["step"] == 7
    assert generator.random() == expected[0]
    torch.testing.assert_close(torch.rand(1), expected[1])
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def train_a_little(checkpoint: Path, until: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs up to step `until` of 4 on random targets; returns the weights and their average."""
    torch.manual_seed(5)
    generator = np.random.default_rng(5)
    prior = tiny_prior()
    trainer = Trainer(prior, checkpoint, steps=4, peak_rate=0.01, decay=0.9, generator=generator)
    while trainer.unfinished and trainer.step < until:
        target = torch.randn(()) + generator.random()
        trainer.learn((prior.planes(prior.code.weight[:1]).mean() - target).square())
    return prior.code.weight.detach().clone(), trainer.average.values["code.weight"].clone()


def tiny_prior() -> ShapePrior:
    torch.manual_seed(0)
    return ShapePrior(["ball"], [""], [0.0], code_width=8, channels=(8, 8), features=4, hidden=8, layers=1)


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training._SECONDS_BETWEEN_CHECKPOINTS", -1)  # a checkpoint after every step
    never_stopped = train_a_little(tmp_path / "one.pt", until=4)
    train_a_little(tmp_path / "two.pt", until=2)
    resumed = train_a_little(tmp_path / "two.pt", until=4)
    for a, b in zip(resumed, never_stopped, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(never_stopped[0], tiny_prior().code.weight)


def test_training_stops_resumes_and_publishes(data: Path, tmp_path: Path) -> None:
    trained = ("--data", data, "--out", tmp_path / "run")
    shapes = (*trained, "--groups", 2, "--points", 64, "--channels", "8,8")
    run("train_shapes.py", *shapes, "--steps", 2)
    assert "from step 2" in run("train_shapes.py", *shapes, "--steps", 3)
    run("imagine.py", "--data", data, "--run", tmp_path / "run", "--views", 2)
    run("train_denoiser.py", *trained, "--pictures", 2, "--channels", "16,16", "--steps", 2)
    teacher = tmp_path / "teacher"
    run("publish.py", "--run", tmp_path / "run", "--data", data, "--out", teacher)
    assert (teacher / "models.csv").read_text().splitlines()[1].split(",")[1:3] == ["ball-1.ply", "ball"]
    run("train_recogniser.py", "--data", data, "--out", teacher, "--steps", 2, "--batch", 4, "--measured", 32)
    held_out = tmp_path / "held_out.csv"
    held_out.write_text("colour,noun\nblue,ball\n")
    codes = load_shape_teacher(teacher).shape_prior.code.weight.clone()
    assert "1 nouns with several variants" in run("sort_variants.py", "--teacher", teacher, "--data", data)
    sorted_codes = load_shape_teacher(teacher).shape_prior.code.weight
    assert torch.equal(sorted_codes[[0, 3]], codes[[0, 3]])
    assert torch.equal(sorted_codes[1:3].sort(0).values, codes[1:3].sort(0).values)
    measured = ("--held-out", held_out, "--measured", 32, "--steps", 2, "--most", 2)
    run("evaluate.py", "--data", data, "--teacher", teacher, "--sheets", tmp_path, *measured)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert 0 <= metrics["samples"]["top1"] <= metrics["samples"]["top5"] <= 1
    assert 0 <= metrics["coloured prompts held out of training"]["colour"] <= 1
    assert metrics["error of x0 at t = 0.5"]["models seen"] > 0
    assert Image.open(tmp_path / "nouns.jpg").size == (8 * (4 * 16 + 8), 16 + 12)
    loaded = load_shape_teacher(teacher)
    assert loaded.shape == (3, 16, 16)
    assert loaded.understand("a red ball, a dragon").sentence().endswith("not known and left out: dragon")
    x0 = loaded(torch.randn(1, 3, 16, 16), torch.ones(1, dtype=torch.float64), loaded.condition(["ball"], None))
    assert bool(x0.isfinite().all())
    assert Recogniser.load(teacher).nouns == ("ball", "red box")
    drawn = ShapePipeline.from_pretrained(teacher)("red ball", look="normals", num_inference_steps=1, output_type="pt")
    assert drawn.images.shape == (1, 3, 16, 16)


CATALOGUE = """
id=Test
id#1=Test#box
name#1=Box
model#1=/test/box.obj
width#1=10
depth#1=20
height#1=30
creator#1=Somebody
modelRotation#1=1 0 0 0 0 -1 0 1 0
"""


def write_catalogue(folder: Path, properties: str = CATALOGUE, extra: str | None = None) -> None:
    obj = io.StringIO(trimesh.creation.box((1, 1, 1)).export(file_type="obj"))
    with zipfile.ZipFile(folder / "Library.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", properties)
        archive.writestr("test/box.obj", obj.getvalue())
        if extra:
            archive.writestr(extra, "surprise")


def test_catalogues_are_read_and_curated(tmp_path: Path) -> None:
    write_catalogue(tmp_path)
    (read,) = read_catalogues(tmp_path, tmp_path / "models")
    assert (read.key, read.name, read.library, read.creator) == ("Test#box", "Box", "Library", "Somebody")
    assert read.size == (10, 30, 20)
    np.testing.assert_array_equal(read.rotation @ [0, 0, 1], [0, -1, 0])
    extent = np.ptp(load_mesh(read).vertices, axis=0)
    np.testing.assert_allclose(extent / extent[0], [1, 3, 2], rtol=1e-5)
    table = tmp_path / "curation.csv"
    table.write_text("key,name,noun,fine_name,dropped\nTest#box,Box,box,,\n")
    assert [item.noun for item in curate([read], table)] == ["box"]
    table.write_text("key,name,noun,fine_name,dropped\nTest#box,Box,,,dull\n")
    assert curate([read], table) == []
    table.write_text("key,name,noun,fine_name,dropped\n")
    with pytest.raises(ValueError, match="Test#box"):
        curate([read], table)


def test_archives_cannot_write_outside_their_folder(tmp_path: Path) -> None:
    write_catalogue(tmp_path, extra="../../evil.txt")
    with pytest.raises(ValueError, match="outside"):
        read_catalogues(tmp_path, tmp_path / "deep" / "models")
    assert not list(tmp_path.parent.rglob("evil.txt"))
    write_catalogue(tmp_path, CATALOGUE.replace("/test/box.obj", "../../../../etc/passwd"))
    with pytest.raises(ValueError, match="outside"):
        read_catalogues(tmp_path, tmp_path / "models")


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sh3f"):
        read_catalogues(tmp_path, tmp_path / "models")
    with pytest.raises(FileNotFoundError, match="no mesh"):
        read_mesh_folder(tmp_path)
