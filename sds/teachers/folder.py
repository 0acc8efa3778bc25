"""Reading a teacher's folder in the diffusers layout without trusting it.

A folder is data from a stranger. Nothing in it is imported, executed or unpickled: classes come from explicit tables
in this program, configurations are parsed as JSON, weights are read by `sds.teachers.weights` from safetensors, and
no file outside the folder is opened, whatever names or links lead there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import safe_open

from sds.teachers.file_kinds import ANY, ZERO123, kind_of

Allowed = TypeVar("Allowed")

CODE_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines", "custom_code", "trust_remote_code")
"""Keys by which a configuration asks for Python code of its own to be run."""

QUANTIZATION_KEYS = ("quantization_config", "compression_config")
"""Keys by which a configuration asks for a quantization library, whose loaders this program cannot vouch for."""


LARGEST_JSON = 64 * 2**20
"""Bytes of a JSON file. The index of the largest network's weights has a few million."""


class TeacherFolderError(ValueError):
    """A teacher's folder is missing, broken, unsupported or unsafe. The message says what to do about it."""


class NoNetworkError(TeacherFolderError, AttributeError):
    """A teacher has no network that could be copied; who only looks whether it has one finds none."""


ADAPTERS = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "learned_embeds.safetensors")
"""What a folder holds that is no teacher, by the names that diffusers and peft give it."""


@contextmanager
def blaming(place: Path | str, problem: str) -> Iterator[None]:
    """Turns any error into a one-line `TeacherFolderError` that begins with ``place`` and ``problem``.

    For libraries that are handed a stranger's values: there is no end to what they raise.
    """
    try:
        yield
    except TeacherFolderError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())
        detail = detail if len(detail) <= 200 else detail[:200] + "..."
        raise TeacherFolderError(f"{place}: {problem} ({detail or type(error).__name__})") from error


@contextmanager
def running_strangers_network() -> Iterator[None]:
    """Turns what a network raises that was put together from wrong values into a `TeacherFolderError`.

    Some values of a configuration are looked at only when the network runs. What torch itself raises (RuntimeError, of
    memory and derivatives) is left as it is, since callers tell these apart; but for shapes that do not fit.
    """
    try:
        yield
    except RuntimeError as error:
        if not _OF_SHAPES.search(str(error)):
            raise
        raise _cannot_be_run(error) from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError) as error:
        raise _cannot_be_run(error) from error


_OF_SHAPES = re.compile(r"\b(sizes?|shapes?)\b", re.IGNORECASE)
"""In what torch says of tensors that do not fit each other, and neither of memory nor of derivatives."""


def _cannot_be_run(error: Exception) -> TeacherFolderError:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    return TeacherFolderError(f"the teacher's network cannot be run as its config.json says ({detail})")


@dataclass(frozen=True)
class TeacherFolder:
    """A folder with a `model_index.json` and one sub-folder for each component.

    Attributes:
        path: the folder.
        boundary: links may lead to files below this folder, and to none outside it.
        index: the content of `model_index.json`.
        checkpoint: a single file with the weights of the components, which the folder then only describes; or None.
    """

    path: Path
    boundary: Path
    index: Mapping[str, Any]
    checkpoint: Path | None = None

    @property
    def called(self) -> str:
        """What it is called: its own name, or its repository's in the hub's cache, and what its index says it was."""
        path = (self.checkpoint or self.path).resolve()
        name = path.parents[1].name if path.parent.name == "snapshots" else path.name
        return f"{name} {self.index.get('_name_or_path', '')}"

    def has(self, component: str) -> bool:
        """Whether the index names a class for ``component`` (optional ones are listed as ``[null, null]``)."""
        entry = self.index.get(component)
        return isinstance(entry, list) and entry != [None, None]

    def choose(
        self, component: str, allowed: Mapping[tuple[str, str], Allowed], reasons: Mapping[str, str] | None = None
    ) -> Allowed:
        """What ``allowed`` holds for the (library, class) pair that the index names for ``component``.

        ``reasons`` says of other classes, by their names, why they cannot be.

        Raises:
            TeacherFolderError: if the component is missing or its class is not in the table.
        """
        if not self.has(component):
            raise TeacherFolderError(f"{self.path}: model_index.json has no '{component}', which this teacher needs")
        entry = self.index[component]
        if len(entry) != 2 or not all(isinstance(name, str) for name in entry):
            raise TeacherFolderError(
                f"{self.path}: model_index.json: '{component}' must be [library, class], not {entry}"
            )
        library, class_name = entry
        if reasons and class_name in reasons:
            raise TeacherFolderError(f"{self.path}: '{component}' is a {class_name}: {reasons[class_name]}")
        if (library, class_name) not in allowed:
            known = ", ".join(sorted({name for _, name in allowed}))
            raise TeacherFolderError(
                f"{self.path}: '{component}' wants the class {class_name} of {library}, which is not supported and was "
                f"not imported; supported here: {known}"
            )
        return allowed[library, class_name]

    def file(self, *parts: str) -> Path:
        """The path of an existing file of the folder, for example ``file("unet", "config.json")``.

        Raises:
            TeacherFolderError: if it is missing, or if it lies outside of the folder, by its name or through links.
        """
        path = self.path.joinpath(*parts)
        with blaming(path, "cannot be opened"):  # links in a circle, names with a null byte
            inside = path.resolve().is_relative_to(self.boundary)
        if not inside or any(part in ("", "..") for part in parts):
            raise TeacherFolderError(f"{path} leads out of the teacher's folder; it was not opened")
        if not path.is_file():
            raise TeacherFolderError(f"{path} is missing; is the folder complete?")
        return path

    def names(self, component: str) -> frozenset[str]:
        """The names of the files of a component's sub-folder.

        Raises:
            TeacherFolderError: if there is no such sub-folder, or if it is a link out of the folder.
        """
        path = self.path / component
        if not path.is_dir():
            raise TeacherFolderError(f"{path} is missing, but model_index.json lists '{component}'")
        if not path.resolve().is_relative_to(self.boundary):
            raise TeacherFolderError(f"{path} leads out of the teacher's folder; it was not opened")
        return frozenset(entry.name for entry in path.iterdir() if entry.is_file())

    def read_json(self, *parts: str) -> dict[str, Any]:
        """The content of a JSON file of the folder that holds an object.

        Raises:
            TeacherFolderError: if the file is missing or broken, or if it asks for code or a quantization library.
        """
        return checked_json(self.file(*parts))


def open_teacher_folder(path: str | Path) -> TeacherFolder:
    """Opens a folder in the diffusers layout. Reads `model_index.json` and nothing else.

    Raises:
        TeacherFolderError: if there is no such folder or its index is missing, broken or asks for code.
    """
    path = Path(path)
    if path.is_file():
        raise TeacherFolderError(
            f"{path} is a single file; a teacher is a folder in the diffusers layout{advice(path)}"
        )
    if not path.is_dir():
        raise TeacherFolderError(f"there is no folder {path}")
    if not (path / "model_index.json").exists():
        raise TeacherFolderError(
            f"{path} has no model_index.json; a teacher is a folder in the diffusers layout{instead_of_parts(path)}"
        )
    folder = TeacherFolder(path, link_boundary(path), {})
    index = folder.read_json("model_index.json")
    for component, entry in index.items():
        if isinstance(entry, list) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", component):
            raise TeacherFolderError(f"{path}: model_index.json: '{component}' is not the name of a component")
    if not isinstance(index.get("_class_name", ""), str):
        raise TeacherFolderError(
            f"{path}: model_index.json names a pipeline with code of its own ({index['_class_name']}); "
            "code from a teacher's folder is never run"
        )
    return TeacherFolder(path, folder.boundary, index)


def instead_of_parts(path: Path) -> str:
    """What a folder without an index holds, and what can be made of it."""
    adapter = next((name for name in ADAPTERS if (path / name).exists()), None)
    if adapter:
        return f" (its {adapter} is a LoRA or an embedding, a change to a teacher and none itself)"
    inside = link_boundary(path)
    files = sorted(file for file in path.iterdir() if file.is_file() and file.resolve().is_relative_to(inside))
    whole = [file for file in files if file.suffix == ".safetensors" and kind_of(names_in(file))]
    if whole:
        return f"; name its file {whole[0]} itself"
    pickled = [file for file in files if file.suffix in PICKLED_WHOLE]
    return f"; it has {pickled[0].name}{advice(pickled[0])}" if pickled else ""


PICKLED_WHOLE = (".ckpt", ".pt", ".pth", ".bin")
"""How files end that may hold a whole model and are pickles."""


def advice(path: Path) -> str:
    """How a single file becomes a folder, if it can; read from its name and its header alone."""
    if path.suffix == ".safetensors":
        kind = kind_of(names_in(path))
        return (
            f"; {kind.conversion(path)}" if kind else "; this one holds no whole model: a LoRA, an embedding, or a part"
        )
    if path.suffix in PICKLED_WHOLE:
        danger = "it is a pickle, which can run any code: only if you trust its author"
        kind = ZERO123 if "zero123" in path.name.lower() else ANY
        return f"; {kind.conversion(path)} ({danger})"
    return ""


def names_in(path: Path) -> list[str]:
    """The names of a safetensors file's tensors. Raises TeacherFolderError if it is none."""
    with blaming(path, "is broken or cut short; get it again"), safe_open(path, "pt") as file:
        return list(file.keys())


def link_boundary(path: Path) -> Path:
    """The folder that links inside of ``path`` may not leave: ``path`` itself, or its repository in the hub's cache.

    The cache keeps ``models--owner--name/snapshots/<revision>/`` as links into ``models--owner--name/blobs/``.
    """
    path = path.resolve()
    repository = path.parents[1] if len(path.parents) > 1 else path
    in_cache = path.parent.name == "snapshots" and repository.name.startswith("models--")
    return repository if in_cache else path


def checked_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        TeacherFolderError: if it cannot be read or is no object, or if it asks for code or a quantization library.
    """
    with blaming(path, "cannot be read as JSON"):
        size = path.stat().st_size
        if size > LARGEST_JSON:
            raise TeacherFolderError(
                f"{path} has {size / 2**20:.0f} MB; {LARGEST_JSON / 2**20:.0f} MB is the most for it"
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TeacherFolderError(f"{path} must hold a JSON object, not a {type(content).__name__}")
    for key in CODE_KEYS:
        if content.get(key):
            raise TeacherFolderError(
                f"{path} wants its own code to be run ('{key}'); code from a teacher's folder never is"
            )
    for key in QUANTIZATION_KEYS:
        if content.get(key):
            raise TeacherFolderError(f"{path} is quantized ('{key}'), which is not supported; use the original weights")
    return content
