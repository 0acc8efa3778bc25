"""Score distillation in a few calls.

    from scoresmith import text_to_3d

    text_to_3d("a red armchair", seed=1).save("chair.glb")

The rooms behind these calls are `scoresmith.sds`, `scoresmith.representations`, `scoresmith.students` and
`scoresmith.cli`. In a clone they are the folders of these names; an installation has them nowhere else than in here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.api import GeneratedObject as GeneratedObject
    from cli.api import open_run as open_run
    from cli.api import text_to_3d as text_to_3d
    from cli.sampling import sample_student as sample_student
    from cli.sampling import sample_teacher as sample_teacher

_CALLS = {
    "GeneratedObject": "scoresmith.cli.api",
    "open_run": "scoresmith.cli.api",
    "text_to_3d": "scoresmith.cli.api",
    "sample_student": "scoresmith.cli.sampling",
    "sample_teacher": "scoresmith.cli.sampling",
}
__all__ = ["GeneratedObject", "open_run", "sample_student", "sample_teacher", "text_to_3d"]

if not (Path(__file__).parent / "sds").is_dir():
    from scoresmith.clone import find_rooms_beside

    find_rooms_beside()


def __getattr__(name: str) -> Any:
    """The calls, loaded (and torch with them) at their first use."""
    if name not in _CALLS:
        raise AttributeError(f"module 'scoresmith' has no attribute {name!r}")
    return getattr(import_module(_CALLS[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
