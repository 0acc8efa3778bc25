"""A run of the scoresmith command, followed from another program. Nothing here knows Blender."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ADDRESS = re.compile(r"watch it at (http://127\.0\.0\.1:\d{1,5}/)")
"""What `scoresmith generate --live` says on standard error."""

ASKED_EVERY = 1.0
"""Seconds between two questions about how far the run is."""

MOST_WORDS = 400
"""Characters of an error that are shown."""

LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this computer, whatever proxies are set for others."""


class Making:
    """A run in a process of its own; threads follow it, so that whoever asks never waits.

    Args:
        command: how scoresmith is run, as one would write it in a shell.
        prompt: what to make.
        folder: of the run, which is made.
        options: more options of `scoresmith generate`.

    Attributes:
        folder: of the run.
        progress: how far it is, in [0, 1].
        sentence: the same in words.
        surface: the latest surface as a GLB file, None while there is none; another file each time.

    Raises OSError if the command cannot be run, and ValueError if it has no words.
    """

    def __init__(self, command: str, prompt: str, folder: Path, options: Sequence[str] = ()) -> None:
        words = shlex.split(command, posix=os.name != "nt")
        if not words:
            raise ValueError("no command: the add-on's preferences say how scoresmith is run")
        self.folder, self.progress, self.sentence = folder, 0.0, "The teacher is loaded."
        self.surface: Path | None = None
        self._said: list[str] = []
        self._scratch = folder.with_name(f"{folder.name}.live")
        self._stopped = False
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}  # of another Python
        self._process = subprocess.Popen(
            [*words, "generate", "--live", f"--out={folder}", *options, "--", prompt],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment | {"PYTHONUTF8": "1"},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended, and everything that it said is known."""
        return self._process.poll() is not None and not self._listener.is_alive()

    @property
    def mesh(self) -> Path | None:
        """What the run has made; None if it has not finished."""
        mesh = self.folder / "mesh.glb"
        return mesh if self.is_over and self._process.returncode == 0 and mesh.is_file() else None

    @property
    def error(self) -> str:
        """Why a run that is over has made nothing, in one line; "" if it has, or was stopped."""
        if not self.is_over or self._stopped or self.mesh is not None:
            return ""
        own = [line for line in self._said if line.startswith("scoresmith: ")]
        last = (own or self._said or [f"it ended with exit code {self._process.returncode}"])[-1]
        return last.removeprefix("scoresmith: ")[:MOST_WORDS]

    def stop(self) -> None:
        """End the run; `scoresmith generate --resume` would continue it."""
        self._stopped = True
        self._process.terminate()

    def _listen(self) -> None:
        """Read what the command says; once it names its page, follow that."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if address := ADDRESS.search(line):
                threading.Thread(target=self._follow, args=(address[1],), daemon=True).start()
            elif line.strip() and "\r" not in line:  # no progress bar
                self._said = [*self._said[-20:], line.strip()]

    def _follow(self, address: str) -> None:
        """Ask the run's page again and again how far it is, and fetch what is new."""
        fetched = 0
        pause = threading.Event()
        while self._process.poll() is None:
            try:
                state = json.loads(asked(f"{address}state.json"))
                self.progress, self.sentence = float(state["progress"]), str(state["sentence"])
                if state["finished"]:
                    asked(address)  # it waits for those who follow to see its last page
                    return
                if state["surfaces"] > fetched:
                    fetched = state["surfaces"]
                    self._scratch.mkdir(parents=True, exist_ok=True)
                    path = self._scratch / f"{fetched}.glb"
                    path.write_bytes(asked(f"{address}now.glb"))
                    self.surface = path
            except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
                pass  # it has just begun, or is ending
            pause.wait(ASKED_EVERY)


def asked(address: str) -> bytes:
    """What the run's page answers. Raises OSError if it does not."""
    with LOCAL.open(address, timeout=10) as response:
        return bytes(response.read())
