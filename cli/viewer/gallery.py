"""A folder of runs as a gallery sees it: which runs there are, what is known of each, and a small picture of it."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cli.errors import UserError, unless_damaged
from cli.files import is_ordinary
from cli.pictures import MARGIN, read_picture
from cli.scenes.records import MetricsRecord
from cli.scenes.run_folder import RunFolder
from cli.viewer.run_page import size_in_words
from cli.viewer.run_views import looks_of

DEEPEST_RUN = 4
"""Folders between a gallery and its runs, at most: enough for a folder of batches of batches."""

MOST_FOLDERS = 100_000
"""Folders that are looked into for runs; somebody may point at a whole disk."""

MOST_THUMBNAILS = 4096
"""That are kept in memory, of about 6 kB each."""

THUMBNAIL_SIZE = 160


@dataclass(frozen=True)
class Entry:
    """A run in a gallery.

    Attributes:
        folder: of the run.
        state: when its files were written and how large they were, to see that they have changed.
        facts: what the page is told of it, see `facts_of`.
    """

    folder: RunFolder
    state: tuple[tuple[int, int], ...]
    facts: dict[str, Any]


class Gallery:
    """The runs below a folder, looked for anew at every question; only what has changed is read again.

    Args:
        root: the folder. Links in it are not followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries: dict[str, Entry] = {}
        self._looking = threading.Lock()

    def entries(self) -> dict[str, Entry]:
        """All runs by their place below the root, with "/" between folders; that of the root itself is "."."""
        with self._looking:
            found = {}
            for path in runs_below(self.root):
                name, folder = path.relative_to(self.root).as_posix(), RunFolder(path)
                known, state = self._entries.get(name), state_of(folder)
                found[name] = known if known and known.state == state else Entry(folder, state, facts_of(name, folder))
            self._entries = found
            return found

    def find(self, name: str) -> RunFolder | None:
        """The run of a name that the last `entries` had; what has come since is looked for."""
        if name not in self._entries:
            self.entries()
        entry = self._entries.get(name)
        return entry.folder if entry else None

    def as_json(self) -> bytes:
        """What the page asks for: the facts of all runs."""
        return json.dumps([entry.facts for entry in self.entries().values()]).encode()


def runs_below(root: Path, deepest: int = DEEPEST_RUN) -> Iterator[Path]:
    """The folders of runs in a folder and below it, in the order of their names; runs inside of runs do not count."""
    left, waiting = MOST_FOLDERS, [(root, 0)]
    while waiting and left:
        path, depth = waiting.pop()
        left -= 1
        if is_ordinary(RunFolder(path).configuration):
            yield path
        elif depth < deepest and not is_ordinary(path / "training" / "run.json"):  # that is a student
            try:
                with os.scandir(path) as inside:
                    names = [one.name for one in inside if one.is_dir(follow_symlinks=False) and one.name[0] != "."]
            except OSError:  # not ours to read, or gone
                continue
            waiting += [(path / name, depth + 1) for name in sorted(names, reverse=True)]


def state_of(folder: RunFolder) -> tuple[tuple[int, int], ...]:
    """When the files that `facts_of` reads were written, in nanoseconds, and how large they are."""
    state = []
    for path in (folder.configuration, folder.metrics, folder.report, folder.preview):
        try:
            status = path.lstat()
            state.append((status.st_mtime_ns, status.st_size))
        except OSError:
            state.append((0, 0))
    return tuple(state)


def facts_of(name: str, folder: RunFolder) -> dict[str, Any]:
    """What the page is told of a run: plain values, texts of which it must not take for markup.

    Args:
        name: of the run in its gallery.
        folder: of the run.
    """
    facts: dict[str, Any] = {
        "name": name.encode("utf-8", "replace").decode(),
        "address": f"runs/{quote(name, errors='surrogateescape')}/",
        "changed": 0.0,
        "picture": False,
    }
    try:
        configuration = folder.read_configuration()
        facts["changed"] = folder.configuration.stat().st_mtime
    except (UserError, OSError) as error:
        return facts | {"prompt": facts["name"], "state": "damaged", "error": str(error)}
    metrics = unless_damaged(folder.read_metrics, MetricsRecord())
    recognition, mesh = metrics.get("recognition"), metrics.get("mesh")
    facts |= {
        "prompt": configuration["prompt"],
        "state": "finished" if is_ordinary(folder.report) else "unfinished",
        "picture": is_ordinary(folder.preview),
        "method": str(configuration["request"].get("method", "")),
        "seed": configuration["request"].get("seed", 0),
        "seconds": sum(configuration.get("seconds", {}).values()),
    }
    if recognition:
        share = recognition["views_recognised"]
        verdict = recognition.get("recognised", share > 0.5)
        facts |= {"noun": recognition["noun"], "recognised": share, "is_recognised": verdict}
    if sides := metrics.get("sides"):
        facts["janus"] = sides["janus_score"]
    if mesh:
        facts |= {"faces": mesh["faces"], "watertight": mesh["watertight"], "size": size_in_words(metrics)}
    return facts


def thumbnail(folder: RunFolder) -> bytes | None:
    """A small picture of what a run made, from its front, as JPEG; None if there is none.

    Raises UserError if the preview is no picture of ours, or run.json is damaged.
    """
    try:
        status = folder.preview.lstat()
    except OSError:
        return None
    looks = looks_of(folder.read_configuration()) if is_ordinary(folder.mesh) else ("",)
    return _thumbnail(folder.preview, 2 * len(looks), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=MOST_THUMBNAILS)
def _thumbnail(preview: Path, rows: int, changed: int, size: int) -> bytes:
    """The first picture of a sheet of so many rows; whoever changes the file asks for another one."""
    del changed, size
    sheet = read_picture(preview, ("PNG",))
    cell = sheet.height // rows
    if cell <= 2 * MARGIN or sheet.width < cell:
        raise UserError(f"{preview} is no sheet of {rows} rows of pictures")
    picture = sheet.crop((MARGIN, MARGIN, cell - MARGIN, cell - MARGIN)).convert("RGB")
    picture.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88)
    return content.getvalue()
