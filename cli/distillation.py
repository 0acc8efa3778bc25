"""The course of one distillation: begin or continue, train with a log and sheets of samples, write the student."""

from __future__ import annotations

import csv
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn
from tqdm import tqdm

from cli.errors import UserError
from cli.looks import distance_named, features_named
from cli.pictures import write_sheet
from cli.real_images import load_real_images
from cli.run_folder import write_json
from cli.teachers import EMBEDDED, load_teacher
from representations.cameras import CameraSampler
from sds.checkpoint import load_checkpoint, save_checkpoint, written_whole
from sds.denoiser import Condition, NeuralTeacher
from sds.processes import first_process_says, is_first_process, process_count
from sds.recognition import Recogniser
from sds.schedule import DegenerateNoiseLevelError
from sds.teachers.embedded import EMBEDDED_FOLDER
from sds.teachers.folder import checked_json
from sds.teachers.hub import find_teacher_folder
from students.folder import CARD, sample, save_student
from students.inputs import INPUTS, save_inputs
from students.order import Order, StudentRun
from students.recipes import RECIPES
from students.teachers import TeacherInShares

CHECKPOINT_SECONDS = 60.0
"""A run that is killed loses at most about this much work."""

LOGGED_EVERY = 10
"""Steps between two lines of the log."""

READ_HERE = ("teacher", "prompts", "images", "features", "distance", "bfloat16")
"""Parts of a request that stand for something bigger than they are."""

SHEET = 8
"""Prompts on the sheet of samples, in columns; three images of each."""

PACKAGES = ("scoresmith", "torch", "diffusers", "numpy")

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


@dataclass(frozen=True)
class DistillRequest:
    """What the user asked for: with the versions of the software, it determines a run completely.

    The attributes are those of `students.order.Order`; ``images`` is a folder of pictures, or empty;
    ``features`` and ``distance`` are names of `cli.looks`.
    No ``prompts`` stands for what the pictures show, or else for all that the embedded teacher knows.
    """

    teacher: str
    prompts: list[str]
    method: str
    steps: int
    student_steps: int
    start: float
    guidance_scale: float
    path_steps: int
    critic_steps: int
    pairs: int
    images: str
    features: str
    distance: str
    bfloat16: bool
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class StudentFolder:
    """The files of a student and of its training.

    Attributes:
        path: the folder, in the diffusers layout.
    """

    path: Path

    @property
    def training(self) -> Path:
        """Everything that is no part of the student."""
        return self.path / "training"

    @property
    def request(self) -> Path:
        """What was asked for."""
        return self.training / "run.json"

    @property
    def checkpoint(self) -> Path:
        """The state of the run."""
        return self.training / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """The signals of every tenth step."""
        return self.training / "log.csv"

    @property
    def sheet(self) -> Path:
        """What the student draws."""
        return self.training / "samples.png"

    @property
    def metrics(self) -> Path:
        """What `scoresmith evaluate` has measured."""
        return self.training / "metrics.json"

    @property
    def pairs(self) -> Path:
        """The teacher's pairs."""
        return self.training / "pairs.safetensors"

    def require_free(self, overwrite: bool) -> None:
        """Make sure that a student may be written here. Raises UserError if the folder holds something already."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give a folder to --out")
        if self.request.exists() and not overwrite:
            raise UserError(
                f"{self.path} holds another student; continue it with --resume {self.path}, choose another --out, or "
                "replace it with --overwrite"
            )
        if self.path.is_dir() and not self.request.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and holds no student of scoresmith; choose another --out")

    def begin(self, request: DistillRequest) -> None:
        """Make the folder ready for a new run. The teacher's pairs stay: whoever reads them checks whose they are."""
        for old in (self.checkpoint, self.log, self.sheet, self.metrics, self.path / CARD, self.path / INPUTS):
            old.unlink(missing_ok=True)
        threads = torch.get_num_threads()
        versions = {name: version(name) for name in PACKAGES}
        write_json(self.request, {"request": asdict(request), "threads": threads, "versions": versions})

    def read_request(self) -> tuple[DistillRequest, int]:
        """What was asked for, and with how many threads. Raises UserError if there is no run of this version."""
        if not self.request.is_file():
            raise UserError(f"{self.path} holds no run of `scoresmith distill` (there is no training/run.json)")
        try:
            content = checked_json(self.request)
            return DistillRequest(**content["request"]), int(content["threads"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.request} is damaged, or of another version of scoresmith") from None


def distill(request: DistillRequest, folder: StudentFolder, device: torch.device, overwrite: bool = False) -> None:
    """Train what was asked for, from the beginning; an old student is only removed when the new run is ready."""
    folder.require_free(overwrite)
    if (Path(request.teacher) / CARD).is_file():
        raise UserError(
            f"{request.teacher} is a student itself: of its teacher's paths it only knows the end; name that teacher"
        )
    order = order_for(request, load_teacher(request.teacher, device), folder)
    first_process_says(True)  # all have looked at the folder before one writes
    run = build(order)
    if is_first_process():
        folder.begin(request)
    with precision(request, device):
        train(run, order, folder, done=0)


def resume(folder: StudentFolder, device: torch.device) -> None:
    """Continue a run from its last checkpoint, or from the beginning if it has none."""
    request, threads = folder.read_request()
    torch.set_num_threads(threads)  # sums over threads round by their number
    order = order_for(request, load_teacher(request.teacher, device), folder)
    run, done = build(order), 0
    if first_process_says(folder.checkpoint.exists()):
        state = load_checkpoint(folder.checkpoint)
        try:
            run.trainer.load_state_dict(state["trainer"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(f"{folder.checkpoint} does not belong to the run of {folder.request}: {error}") from None
        done = int(state["steps"])
    with precision(request, device):
        train(run, order, folder, done)


def precision(request: DistillRequest, device: torch.device) -> torch.autocast:
    """The context in which the run computes: bfloat16 where it was asked for; weights are float32 in any case.

    Without a cache: it would keep the weights in half precision as they were at the beginning, while they learn.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=request.bfloat16, cache_enabled=False)


def build(order: Order) -> StudentRun:
    """Put the run together.

    Raises UserError for what the method cannot do, for pairs of another teacher, and for a teacher that cannot say
    anything about an image where the student is to begin.
    """
    first = torch.tensor([order.start], dtype=torch.float64)
    noise = torch.zeros(1, *order.teacher.shape, device=next(order.teacher.network.parameters()).device)
    try:
        order.teacher(noise, first, order.teacher.condition(order.texts[:1], None))
    except DegenerateNoiseLevelError:
        raise UserError(
            f"this teacher predicts noise, and at t = {order.start:g} there is nothing else: begin a little below by "
            "--start 0.95 (dmd, diff-instruct, dmd2, f-distill, sid, add, ufogen, ddgan), or take a teacher that "
            "predicts v, the image or a flow"
        ) from None
    try:
        return RECIPES[order.method](order)
    except ValueError as error:
        raise UserError(str(error)) from None


def train(run: StudentRun, order: Order, folder: StudentFolder, done: int) -> None:
    """Take the steps that are left and write the student."""
    saved, writes = time.monotonic(), is_first_process()
    if writes:
        forget_later_lines(folder.log, done)
    with tqdm(
        total=order.steps, initial=done, desc=order.method, unit="step", dynamic_ncols=True, disable=not writes
    ) as bar:
        while done < order.steps:
            step = run.trainer.step()
            done += 1
            bar.update()
            if done % LOGGED_EVERY == 0:
                signals = run.signals(step)
                if writes:
                    log(folder.log, {"step": done, **signals})
                bar.set_postfix({name: f"{value:.3g}" for name, value in signals.items()})
            if writes and time.monotonic() - saved > CHECKPOINT_SECONDS and done < order.steps:
                save_checkpoint(folder.checkpoint, {"trainer": run.trainer.state_dict(), "steps": done})
                write_sheet(folder.sheet, sample_rows(run, run.network(), order))
                saved = time.monotonic()
    if writes:
        save_checkpoint(folder.checkpoint, {"trainer": run.trainer.state_dict(), "steps": done})
        write_student(run, order, folder)
        print(folder.path)
    first_process_says(True)  # nobody leaves while another may still wait for an answer


def order_for(request: DistillRequest, teacher: NeuralTeacher, folder: StudentFolder) -> Order:
    """The request in terms of the library. Raises UserError if there is nothing to draw, or for unfit pictures."""
    known = {name: value for name, value in asdict(request).items() if name not in READ_HERE}
    device = next(teacher.network.parameters()).device
    views = CameraSampler(size=1) if teacher.knows_views else None
    if process_count() > 1:
        teacher = TeacherInShares(teacher)
    real = load_real_images(Path(request.images), teacher, request.guidance_scale) if request.images else None
    shown = sorted(set(real.captions)) if real is not None else []
    texts = request.prompts or shown or default_prompts(request.teacher)
    together = real.ask if real is not None and not request.prompts else None
    return Order(
        teacher,
        texts,
        views,
        pairs_file=folder.pairs,
        images=real,
        together=together,
        features=features_named(request.features, device),
        distance=distance_named(request.distance, teacher, device),
        **known,
    )


def default_prompts(teacher: str) -> list[str]:
    """Every noun that the embedded teacher knows, plain and in colours. Raises UserError for other teachers."""
    if teacher != EMBEDDED:
        raise UserError("say what the student shall draw: --prompt or --prompts-file")
    nouns = Recogniser.load().nouns
    return [f"a {noun}" for noun in nouns] + [f"a {colour} {noun}" for noun in nouns for colour in COLOURS]


def write_student(run: StudentRun, order: Order, folder: StudentFolder) -> None:
    """Write the student's folder and the sheet of samples."""
    student, (request, _) = run.finished_student(), folder.read_request()
    network = student.plain_network(guidance_scale=run.card.guidance_scale)
    assert isinstance(network, ModelMixin)  # teachers that `load_teacher` finds are made of them
    source = EMBEDDED_FOLDER if request.teacher == EMBEDDED else find_teacher_folder(request.teacher).path
    save_student(source, network, run.card, folder.path)
    save_inputs(student, folder.path)
    write_sheet(folder.sheet, sample_rows(run, network, order))


def sample_rows(run: StudentRun, network: nn.Module, order: Order) -> list[Tensor]:
    """Three images of each of a few prompts, always from the same noise and views; rows of (prompts, 3, H, W)."""
    rng = torch.Generator().manual_seed(0)
    spread = range(0, len(order.texts), max(1, len(order.texts) // SHEET))
    texts = [order.texts[i] for i in spread][:SHEET]
    view = None if order.views is None else order.views(len(texts), rng)
    condition = order.teacher.condition(texts, view)
    student = WithNetwork(order.teacher, network)
    return [
        order.teacher.decode(sample(student, run.card, order.teacher.shape, condition, rng)).clamp(0, 1)
        for _ in range(3)
    ]


@dataclass(frozen=True)
class WithNetwork:
    """A teacher with another network in the place of its own, as a denoiser."""

    teacher: NeuralTeacher
    network: nn.Module

    @property
    def schedule(self) -> Any:
        """The teacher's noise levels."""
        return self.teacher.schedule

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """What the network sees in ``x_t``."""
        return self.teacher.denoise(self.network, x_t, t, condition)


def log(path: Path, row: dict[str, float]) -> None:
    """Append a line; the first one is preceded by the names of the columns."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)


def forget_later_lines(path: Path, step: int) -> None:
    """Drop the log's lines after a step, which is where the run continues: those steps are taken again."""
    if not path.exists():
        return
    header, *lines = path.read_text().splitlines(keepends=True) or [""]
    # A line that a killed process left half written has no end.
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]
    with written_whole(path) as temporary:
        temporary.write_text("".join([header, *kept]))
