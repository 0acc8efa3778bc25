"""`generate --live`: a page that shows the object as it forms, at a bounded cost to the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import imageio.v3 as imageio
import torch

from cli.pictures import sheet, to_bytes
from cli.scenes.curves import CurvePoint, read_curves
from cli.scenes.judging import ELEVATION
from cli.scenes.run_folder import RunFolder
from cli.scenes.scene import Scene
from cli.viewer.live_page import PICTURE, STATE, SURFACE, live_page, live_state
from cli.viewer.page import html_of
from cli.viewer.run_page import LINKED
from cli.viewer.server import MEDIA_TYPES, PageServer, Resource, file_of, page_resource, serve_beside
from representations.assets.asset import Asset
from representations.assets.formats.gltf_writing import glb_bytes
from representations.cameras import turntable
from representations.gaussians.cloud import GaussianCloud
from representations.geometry.isosurface import EmptySurfaceError
from representations.geometry.mesh import MeshError
from representations.images.pixels import FlatImage
from sds.engine import image_of

SIDES, PICTURE_SIZE = 4, 128
"""Pictures of the object from all round, and pixels along the side of each."""

HAZE_UNTIL = 0.2
"""The share of a run before which a field is haze that has no surface worth looking at."""

FOLLOWED_WITHIN = 8.0
"""A browser that asked for the state so few seconds ago follows the run, and gets as long to load the last page."""

Deliver = Callable[[Asset], Asset]
"""Puts an asset, as a run has it, on the floor in metres."""


@dataclass
class Turn:
    """When something that takes time is to be done again.

    Attributes:
        seconds_between: the least time from its end to its next beginning.
        share: of the time since the run began, the most that may be spent on it.
        cost: seconds that it took the last time, or is expected to take; a run does not begin with waiting for it.
        spent: seconds so far.
        ended: when it was done last, by `time.monotonic`.
    """

    seconds_between: float
    share: float
    cost: float
    spent: float = 0.0
    ended: float = -float("inf")

    def is_due(self, now: float, began: float) -> bool:
        """Whether it is time, and what it takes stays within its share of the time since ``began`` even then."""
        return now - self.ended >= self.seconds_between and self.spent + self.cost <= self.share * (now - began)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Do it in the block, and count what it takes."""
        started = time.monotonic()
        yield
        self.ended = time.monotonic()
        self.cost = self.ended - started
        self.spent += self.cost


@dataclass
class Watched:
    """The run that is shown.

    Attributes:
        number: of the run since the server began, from 1.
        folder: of the run.
        steps: of all its stages.
        deliver: see `Deliver`.
        began: when, by `time.monotonic`.
        picture, surface: when the next of them is due. Together they take 8% of the run's time at most.
        pictures, surfaces: how many there have been.
        finished: whether its report is written.
    """

    number: int
    folder: RunFolder
    steps: int
    deliver: Deliver
    began: float = field(default_factory=time.monotonic)
    picture: Turn = field(default_factory=lambda: Turn(seconds_between=3.0, share=0.03, cost=0.2))
    surface: Turn = field(default_factory=lambda: Turn(seconds_between=10.0, share=0.05, cost=1.5))
    pictures: int = 0
    surfaces: int = 0
    finished: bool = False


class Snapshots:
    """Tells what a run looks like now: its state, a picture and its surface, as bytes that no longer change.

    They are made in the run's own thread between two steps. No random number is drawn: a run that is watched makes the
    same object.

    Args:
        tell: is given whatever is new, by name: `STATE`, `PICTURE` or `SURFACE`.
    """

    def __init__(self, tell: Callable[[str, bytes], None]) -> None:
        self._tell = tell
        self.run: Watched | None = None

    def begin(self, prompt: str, folder: RunFolder, steps: int, deliver: Deliver) -> None:
        """Look at a run from now on; the arguments are those of `LiveView.begin`."""
        del prompt
        self.run = Watched(1 if self.run is None else self.run.number + 1, folder, steps, deliver)
        self._tell_state(self.run, 0)

    def look(self, scene: Scene, point: CurvePoint) -> None:
        """Look at the object after a step, if it is time."""
        run = self._begun()
        if run.picture.is_due(time.monotonic(), run.began):
            with run.picture.timed():
                self._tell(PICTURE, picture_of(scene))
                run.pictures += 1
                self._tell_state(run, point.step)
        if point.step >= HAZE_UNTIL * run.steps and run.surface.is_due(time.monotonic(), run.began):
            with run.surface.timed():
                surface = surface_of(scene, run.deliver)
                if surface is not None:
                    self._tell(SURFACE, surface)
                    run.surfaces += 1
                    self._tell_state(run, point.step)

    def finish(self) -> None:
        """The report of the run is written."""
        run = self._begun()
        run.finished = True
        self._tell_state(run, run.steps)

    def _begun(self) -> Watched:
        if self.run is None:
            raise RuntimeError("begin() says what is looked at")
        return self.run

    def _tell_state(self, run: Watched, step: int) -> None:
        """Say how far the run is, and how often there was something new."""
        state = live_state(read_curves(run.folder.curves), step, run.steps) | {
            "run": run.number,
            "pictures": run.pictures,
            "surfaces": run.surfaces,
            "finished": run.finished,
        }
        self._tell(STATE, json.dumps(state).encode())


class LiveView:
    """Serves what a run looks like now, see `Snapshots`. A context: its end stops the server.

    Args:
        port: see `PageServer`, which says what is raised.
    """

    def __init__(self, port: int | None = None) -> None:
        self._served: dict[str, Resource] = {}
        self._snapshots = Snapshots(self._serve)
        self._asked = self._loaded = -float("inf")
        self._server = PageServer(self._resource, port)

    @property
    def address(self) -> str:
        """Where the page is."""
        return self._server.address

    def __enter__(self) -> LiveView:
        """Begin to serve."""
        serve_beside(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; after a good end not before the browsers that follow have loaded the last page."""
        ended = time.monotonic()
        followed = ended - self._asked < FOLLOWED_WITHIN
        while kind is None and followed and self._loaded < ended and time.monotonic() < ended + FOLLOWED_WITHIN:
            time.sleep(0.05)
        self._server.shutdown()
        self._server.server_close()

    def begin(self, prompt: str, folder: RunFolder, steps: int, deliver: Deliver) -> None:
        """Show a run from now on.

        Args:
            prompt: what it makes.
            folder: of the run.
            steps: of all its stages.
            deliver: see `Deliver`.
        """
        self._served = {}
        self._snapshots.begin(prompt, folder, steps, deliver)
        assert self._snapshots.run is not None
        self._served["/"] = page_resource(html_of(live_page(prompt, self._snapshots.run.number)))

    def look(self, scene: Scene, point: CurvePoint) -> None:
        """Look at the object after a step, if it is time."""
        self._snapshots.look(scene, point)

    def finish(self) -> None:
        """Show the report, which is written now, in the place of the run."""
        run = self._snapshots.run
        if run is not None:
            self._served["/"] = page_resource(run.folder.report.read_text(encoding="utf-8"))
        self._snapshots.finish()

    def _serve(self, name: str, content: bytes) -> None:
        """Keep what browsers ask for."""
        self._served[f"/{name}"] = Resource(MEDIA_TYPES[Path(name).suffix], content)

    def _resource(self, path: str) -> Resource | None:
        """What a browser asks for; called in the server's threads."""
        run = self._snapshots.run
        if path == f"/{STATE}":
            self._asked = time.monotonic()
        elif path == "/" and run is not None and run.finished:
            self._loaded = time.monotonic()
        if run is not None and run.finished and path.removeprefix("/") in LINKED:
            return file_of(run.folder.path, path.removeprefix("/"))
        return self._served.get(path)


@torch.no_grad()
def picture_of(scene: Scene) -> bytes:
    """The object from all round in two rows, or the flat picture; a PNG."""
    if isinstance(scene.shown, FlatImage):
        rows = [scene.shown(1)]
    else:
        rows = list(image_of(scene.shown(turntable(SIDES, ELEVATION, PICTURE_SIZE))).split(SIDES // 2))
    return imageio.imwrite("<bytes>", to_bytes(sheet(rows, rows[0].shape[-1])), extension=".png")


def surface_of(scene: Scene, deliver: Deliver) -> bytes | None:
    """The present surface, delivered, as a GLB file with colours at its vertices; None while there is none."""
    if isinstance(scene.shown, FlatImage | GaussianCloud):
        return None
    try:
        return glb_bytes(deliver(Asset(scene.shown.surface())))
    except (EmptySurfaceError, MeshError):
        return None
