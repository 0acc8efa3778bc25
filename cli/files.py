"""Files that somebody else may have made or changed, as they are read: ordinary ones, no links, of a bearable size."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from cli.errors import UserError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LARGEST_TEXT = 16 * 2**20
"""Bytes of a JSON or CSV file of ours. The largest that was ever written has a few hundred thousand."""

DEEPEST, LONGEST, MOST = 12, 20_000, 100_000
"""Of a JSON file: nesting, characters of a text, and values in all."""

Content = TypeVar("Content")


def open_ordinary(path: Path, largest: int | None = None) -> BinaryIO:
    """Open a file for reading.

    Raises:
        FileNotFoundError: if there is none.
        UserError: if it is a link (which may lead anywhere), a pipe or a device (which may never end), a folder, larger
            than ``largest`` bytes, or cannot be opened.
    """
    if path.is_symlink():
        raise UserError(f"{path} is a link and was not followed: put the file itself there")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise UserError(f"{path} is no ordinary file")
    if largest is not None and status.st_size > largest:
        file.close()
        raise UserError(f"{path} has {status.st_size / 2**20:.0f} MB; {largest / 2**20:.0f} MB is the most for it")
    return file


def require_there(named: Mapping[str, Path | None]) -> None:
    """Raises UserError for a file or folder that an option names and that is not there; None names none.

    To be asked before anything is loaded: what takes seconds to load takes as long to say that a name is misspelt.
    """
    for option, path in named.items():
        if path is not None and not os.path.exists(path):  # which takes any name, other than Path.exists
            raise UserError(f"{option}: there is no {path}")


def read_ordinary(path: Path, largest: int) -> bytes:
    """The bytes of a file; see `open_ordinary` for what is raised."""
    with open_ordinary(path, largest) as file:
        return file.read(largest)


def is_ordinary(path: Path) -> bool:
    """Whether there is a file that is neither a link nor anything special."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def read_record(path: Path, kind: type[Content]) -> Content:
    """The JSON file at ``path`` as the dataclass or TypedDict ``kind``.

    Raises:
        FileNotFoundError: if there is none.
        UserError: if it is no ordinary file, no JSON, or says something else than ``kind`` allows.
    """
    return parsed(read_ordinary(path, LARGEST_TEXT), kind, str(path))


DAMAGED = "is damaged, or was not written by this version of scoresmith"


def parsed(text: bytes, kind: type[Content], name: str, fault: str = DAMAGED) -> Content:
    """JSON text as ``kind``. Raises UserError for anything else: that what is called ``name`` has this ``fault``."""
    from pydantic import ValidationError

    try:
        require_plain(json.loads(text))
        return validator(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
    except (ValueError, RecursionError) as error:  # of these are UnicodeDecodeError and JSONDecodeError
        reason = str(error) if not isinstance(error, RecursionError) else "it is nested too deep"
    raise UserError(f"{name} {fault}: {reason[:200]}")


_VALIDATORS: dict[object, TypeAdapter[Any]] = {}


def validator(kind: type[Content]) -> TypeAdapter[Content]:
    """Checks for ``kind``; kept, since they take longer to put together than a file takes to read."""
    from pydantic import TypeAdapter

    if kind not in _VALIDATORS:
        _VALIDATORS[kind] = TypeAdapter(kind)
    return _VALIDATORS[kind]


def require_plain(content: Any) -> None:
    """Raises ValueError for nesting, texts or numbers that no file of ours has, and for infinities and NaN."""
    left, waiting = MOST, [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError("it holds too many values" if left < 0 else "it is nested too deep")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and (len(value) > LONGEST or (not value.isprintable() and has_surrogates(value))):
            raise ValueError("one of its texts is too long, or no text")
        elif isinstance(value, int | float) and not abs(value) <= 2**64:
            raise ValueError("one of its numbers is too large, or none")


def has_surrogates(text: str) -> bool:
    """Whether a text holds halves of characters, which nothing can write."""
    return any("\ud800" <= character <= "\udfff" for character in text)
