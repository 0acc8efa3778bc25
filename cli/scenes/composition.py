"""Several objects in one scene: each is made alone by a run of its own, then all are judged together and alone.

A scene is a TOML file:

    prompt = "a red chair beside a wooden table"

    [[objects]]
    name = "chair"
    prompt = "a red chair"
    position = [-0.5, 0.0, 0.0]     # of its origin; the scene is seen as a whole within the unit sphere
    turn = 30                       # degrees, counter-clockwise seen from above
    size = 0.5

    [[objects]]
    name = "table"
    prompt = "a wooden table"
    position = [0.45, 0.0, 0.0]
    size = 0.6
"""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Required

import torch
from pydantic import ConfigDict, Field
from tqdm import tqdm
from typing_extensions import TypedDict

from cli import numbers
from cli.errors import UserError
from cli.files import LARGEST_TEXT, parsed, read_ordinary
from cli.pictures import write_sheet
from cli.scenes.batch import Job, is_finished, make
from cli.scenes.judging import cameras_for, judge_for, judged_cameras
from cli.scenes.loading import load_object
from cli.scenes.request import Request
from cli.scenes.results import PICTURE_SIZE, finished
from cli.scenes.run_folder import RunFolder, folder_name, write_json
from cli.scenes.stage import Stage
from cli.scenes.told import with_mind_made_up
from representations.arrangement import Arrangement, ArrangementDraw, Place
from representations.assets.formats.gltf_writing import Node, scene_glb_bytes
from sds.baselines import METHODS
from sds.checkpoint import written_whole
from sds.denoiser import NeuralTeacher
from sds.engine import ScoreDistillation, Settings
from sds.guidance import PromptConditions
from sds.prompts import Directions, PromptSet, condition_for
from sds.weightings import WEIGHTINGS

TOGETHER_STEPS = 100
"""Steps in which all objects are judged together and alone, unless the file says how many."""

NO_SCENE = (
    "is no scene (for each object a table [[objects]] with a name and a prompt, if you like with position, turn and "
    "size; above them, if you like, the prompt of the whole and steps)"
)

Coordinate = Annotated[float, Field(ge=-1, le=1)]


class ObjectRecord(TypedDict, total=False):
    """An object in a scene's file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # a word that is misspelt is not passed over

    name: Required[Annotated[str, Field(min_length=1, max_length=60)]]
    prompt: Required[Annotated[str, Field(max_length=numbers.LONGEST_PROMPT)]]
    position: tuple[Coordinate, Coordinate, Coordinate]
    turn: Annotated[float, Field(ge=-360, le=360)]
    size: Annotated[float, Field(gt=0, le=1)]


class SceneRecord(TypedDict, total=False):
    """A scene's file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    prompt: Annotated[str, Field(max_length=numbers.LONGEST_PROMPT)]
    steps: Annotated[int, Field(ge=0, le=numbers.MOST_STEPS)]
    objects: Required[Annotated[list[ObjectRecord], Field(min_length=1, max_length=16)]]


@dataclass(frozen=True)
class PlacedPrompt:
    """An object that is wanted.

    Attributes:
        name: of its node, and of its folder.
        prompt: what it is.
        place: where it is.
    """

    name: str
    prompt: str
    place: Place


@dataclass(frozen=True)
class Composition:
    """A scene that is wanted.

    Attributes:
        prompt: of the whole.
        steps: in which all is judged together.
        objects: what it holds.
    """

    prompt: str
    steps: int
    objects: tuple[PlacedPrompt, ...]


def read_composition(path: Path) -> Composition:
    """What a scene's file asks for. Raises UserError if it cannot be read, or cannot be met."""
    try:
        said = tomllib.loads(read_ordinary(path, LARGEST_TEXT).decode())
        record = parsed(json.dumps(said).encode(), SceneRecord, f"--scene {path}", NO_SCENE)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise UserError(f"--scene {path}: {error}") from None
    objects = tuple(
        PlacedPrompt(
            one["name"],
            numbers.checked_prompt(one["prompt"]),
            Place(one.get("position", (0.0, 0.0, 0.0)), math.radians(one.get("turn", 0.0)), one.get("size", 1.0)),
        )
        for one in record["objects"]
    )
    if len({folder_name(one.name) for one in objects}) < len(objects):
        raise UserError(f"--scene {path}: two objects have one name")
    whole = record.get("prompt") or " beside ".join(one.prompt for one in objects)
    return Composition(numbers.checked_prompt(whole), record.get("steps", TOGETHER_STEPS), objects)


def compose(
    composition: Composition, wishes: Request, out: Path, teacher: NeuralTeacher, device: torch.device
) -> list[Path]:
    """Make a scene; returns the files of the whole. What is finished of its objects is not made again.

    Args:
        composition: what is wanted.
        wishes: how each object is made; its prompt is not used.
        out: a folder, with one for each object below.
        teacher: judges everything.
        device: where to work.
    """
    jobs = [Job(replace(wishes, prompt=one.prompt), out / folder_name(one.name)) for one in composition.objects]
    for job in jobs:
        if not is_finished(job):
            make(job, teacher, device)
    solids: list[Any] = [load_object(job.folder, device).solid for job in jobs]
    stage = Stage(wishes.representation, wishes.recipe(wishes.representation), teacher)
    sampler = stage.cameras()
    arrangement = Arrangement(solids, [one.place for one in composition.objects], sampler)
    # Of what a prompt may mean, each run has chosen one object: the teacher must go on to think of that one.
    for said in (composition.prompt, *(one.prompt for one in composition.objects)):
        teacher = with_mind_made_up(teacher, replace(wishes, prompt=said))
    judge_together(arrangement, composition, stage, wishes, teacher)
    return write_scene(arrangement, composition, wishes, out)


def judge_together(
    arrangement: Arrangement, composition: Composition, stage: Stage, wishes: Request, teacher: NeuralTeacher
) -> None:
    """Change all objects at once: half of the steps see the whole scene, the others one object by itself."""
    directions = Directions() if getattr(teacher, "takes_sentences", True) else None
    prompts = [PromptSet(one.prompt, directions=directions) for one in composition.objects]
    whole = PromptSet(composition.prompt, directions=directions)

    def told(draw: ArrangementDraw) -> PromptConditions:
        said = whole if draw.alone is None else prompts[draw.alone]
        return condition_for(teacher, said, draw.cameras, len(draw.cameras))

    recipe = stage.recipe
    distillation = ScoreDistillation(
        arrangement,
        teacher,
        told,
        torch.optim.Adam(arrangement.parameter_groups(), betas=(0.9, 0.99), eps=1e-15),
        Settings(
            steps=composition.steps,
            batch_size=recipe.batch_size,
            method=METHODS["sds"],
            guidance=recipe.guidance,
            weighting=WEIGHTINGS[recipe.weighting],
            times=recipe.times.on(teacher.schedule),
            learning_rate=recipe.learning_rate,
            seed=wishes.seed,
        ),
        penalty=arrangement.penalty,
    )
    for _ in tqdm(range(composition.steps), desc=f"{composition.prompt[:40]} (together)", unit="step"):
        distillation.step()


def write_scene(arrangement: Arrangement, composition: Composition, wishes: Request, out: Path) -> list[Path]:
    """scene.glb with a node for each object, preview.png of the whole, and scene.json."""
    solids: list[Any] = list(arrangement.objects)
    assets = [finished(solid) for solid in solids]
    nodes = [
        Node(asset, one.name, one.place.position, one.place.turn, one.place.size)
        for asset, one in zip(assets, composition.objects, strict=True)
    ]
    model, preview, said = out / "scene.glb", out / "preview.png", out / "scene.json"
    with written_whole(model) as temporary:
        temporary.write_bytes(scene_glb_bytes(nodes))
    with torch.no_grad():
        whole = arrangement(ArrangementDraw(None, judged_cameras(PICTURE_SIZE))).image.cpu()
        metrics: dict[str, Any] = {"prompt": composition.prompt, "objects": {}}
        for number, one in enumerate(composition.objects):
            judge = judge_for(replace(wishes, prompt=one.prompt))
            alone, together = (
                arrangement(ArrangementDraw(which, cameras_for(judge))).image.cpu() for which in (number, None)
            )
            verdicts = {"alone": judge.verdict(alone), "together": judge.verdict(together)} if judge else {}
            metrics["objects"][one.name] = {"prompt": one.prompt} | verdicts
    write_sheet(preview, [whole])
    write_json(said, metrics)
    return [model, preview, said]


def require_place(out: Path) -> None:
    """Raises UserError if ``out`` is a file, or the folder of a run that is no scene."""
    if RunFolder(out).configuration.exists() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is a file or holds a run; give another folder to --out")
