"""Lines of Wavefront OBJ and MTL files, in the encodings and with the liberties that programs take."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

_COMMENT = re.compile(r"(?:^|\s)#.*$")


class ObjError(ValueError):
    """An OBJ or MTL file that cannot be read; the message says why."""


def text_of(content: bytes) -> str:
    """The text of a file in UTF-8 or UTF-16 (by their marks), else Latin-1; lines continued by a backslash joined."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return re.sub(r"\\[ \t]*\n", " ", text) if "\\" in text else text


def lines_of(content: bytes) -> Iterator[tuple[str, str]]:
    """(keyword, rest) of each statement; comments are dropped, and blanks around both."""
    for line in text_of(content).split("\n"):
        if "#" in line:
            line = _COMMENT.sub("", line)
        words = line.split(None, 1)
        if words:
            yield words[0], words[1].strip() if len(words) > 1 else ""


def number(word: str, what: str) -> float:
    """A finite number. Raises ObjError."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ObjError(f"{what} is '{word[:40]}', not a number")
    return value
