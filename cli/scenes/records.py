"""What the files of a run may say: one schema for all that read them. Nothing here loads torch."""

from __future__ import annotations

from typing import Annotated, Any, Required

from pydantic import Field
from typing_extensions import TypedDict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**40)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Metres = Annotated[float, Field(ge=0, le=1e12)]
Threads = Annotated[int, Field(ge=1, le=4096)]
Words = Annotated[str, Field(max_length=2000)]

Plain = dict[str, Any]
"""Values of any kind, of which `cli.files.require_plain` has made sure that they can be shown."""


class RunRecord(TypedDict, total=False):
    """run.json: what was asked for, by which versions, and how long it took."""

    prompt: Required[Words]
    request: Required[Plain]
    recipe: dict[str, Plain]
    device: Words
    threads: Threads
    versions: Required[dict[str, Words]]
    seconds: dict[str, Seconds]


class RecognitionRecord(TypedDict, total=False):
    """What a classifier sees."""

    noun: Required[Words]
    recognised: bool
    views_recognised: Required[Share]
    views_among_first_five: Share
    probability: Share
    probabilities: list[Share]
    looks_most_like: list[Words]


class SidesRecord(TypedDict, total=False):
    """Whether sides and back look like the front."""

    janus_score: Required[Share]
    mistaken: Share


class SizeRecord(TypedDict):
    """Lengths along the axes, in metres."""

    x: Metres
    y: Metres
    z: Metres


class MeshRecord(TypedDict, total=False):
    """Counts, size and soundness of a mesh."""

    vertices: Count
    faces: Required[Count]
    components: Required[Count]
    watertight: Required[bool]
    texture: Words | None
    volume_m3: float
    size_m: SizeRecord


class ParticlesRecord(TypedDict, total=False):
    """How the objects of one run differ (root mean square of all pixels), and how surely each is recognised."""

    count: Required[Count]
    difference: Required[Share]
    probabilities: list[Share]


class MetricsRecord(TypedDict, total=False):
    """metrics.json: what was measured."""

    particles: ParticlesRecord
    recognition: RecognitionRecord
    sides: SidesRecord
    mesh: MeshRecord


class StudentRecord(TypedDict, total=False):
    """run.json of a distillation."""

    request: Required[Plain]
    threads: Threads
    versions: Required[dict[str, Words]]


def stages_of(configuration: RunRecord) -> dict[str, dict[str, Any]]:
    """The recipe of each stage of a run, by name."""
    recipe = configuration.get("recipe", {})
    return {name: stage for name, stage in recipe.items() if isinstance(stage, dict)}
