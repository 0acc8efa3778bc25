"""What was ordered, and the process that makes one object after the other."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.scenes.batch import Job
from cli.scenes.workers import Workplace
from cli.studio.worker import UNDERSTOOD, work
from cli.viewer.live_page import PICTURE, STATE, SURFACE

MOST_WAITING = 200
"""Orders that may wait at the same time."""

MOST_KEPT = 100
"""Orders that are over and are still shown; their runs stay in the gallery."""

LOADING = "The teacher is loaded."


class Stage(Enum):
    """Where an order is."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self not in (Stage.WAITING, Stage.RUNNING)


@dataclass
class Order:
    """An object that was ordered.

    Attributes:
        number: counted from 1.
        job: what to make, and where.
        stage: where it is.
        error: why it failed.
        told: what its run looks like now, by name (`STATE`, `PICTURE`, `SURFACE`, `UNDERSTOOD`).
    """

    number: int
    job: Job
    stage: Stage = Stage.WAITING
    error: str = ""
    told: dict[str, bytes] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """What the page is told of it."""
        state = json.loads(self.told[STATE]) if STATE in self.told else {"progress": 0.0, "sentence": LOADING}
        return {
            "number": self.number,
            "prompt": self.job.request.prompt,
            "seed": self.job.request.seed,
            "folder": self.job.path.name,
            "stage": self.stage.value,
            "error": self.error,
            "understood": self.told.get(UNDERSTOOD, b"").decode(),
            "progress": state["progress"],
            "sentence": state["sentence"],
            "pictures": state.get("pictures", 0),
            "surfaces": state.get("surfaces", 0),
        }


class Workshop:
    """Makes what is ordered, one object after the other, in a process that has the teacher. A context.

    An order that is stopped, or whose process dies, keeps its run's folder: `go_on` continues from its checkpoint.

    Args:
        workplace: of the process.
        main: what it runs; `cli.studio.worker.work`, but for tests.
    """

    def __init__(self, workplace: Workplace, main: Callable[[Connection, Workplace], None] = work) -> None:
        self._workplace, self._main = workplace, main
        self._orders: dict[int, Order] = {}
        self._next = 1
        self._changed = threading.Condition()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._make_all, daemon=True)

    def __enter__(self) -> Workshop:
        """Begin to work."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; a run that goes on can be continued later."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._dismiss()
        self._thread.join(10)

    def add(self, job: Job) -> Order:
        """Order an object. Raises UserError if too many wait already."""
        with self._changed:
            if sum(order.stage is Stage.WAITING for order in self._orders.values()) >= MOST_WAITING:
                raise UserError(f"{MOST_WAITING} objects wait already; order more when some are made")
            order = Order(self._next, job)
            self._next += 1
            self._orders[order.number] = order
            self._forget_old()
            self._changed.notify_all()
            return order

    def stop(self, number: int) -> None:
        """Leave an order that waits, or end its run. Raises UserError if there is no such order, or it is over."""
        with self._changed:
            order = self._find(number)
            if order.stage.is_over:
                raise UserError(f"order {number} is over")
            running = order.stage is Stage.RUNNING
            order.stage = Stage.STOPPED
        if running:
            self._dismiss()
        leave_if_empty(order.job.path)

    def go_on(self, number: int) -> None:
        """Order again what was stopped or has failed. Raises UserError if there is no such order."""
        with self._changed:
            order = self._find(number)
            if order.stage not in (Stage.STOPPED, Stage.FAILED):
                raise UserError(f"order {number} was not stopped")
            order.stage, order.error = Stage.WAITING, ""
            self._changed.notify_all()

    def orders(self) -> list[dict[str, Any]]:
        """All orders, the latest first, as the page is told of them."""
        with self._changed:
            return [order.as_plain() for order in reversed(self._orders.values())]

    def told(self, number: int, name: str) -> bytes | None:
        """The picture or the surface of an order, as it is now; None if there is none."""
        with self._changed:
            order = self._orders.get(number)
            return order.told.get(name) if order is not None and name in (PICTURE, SURFACE) else None

    def _find(self, number: int) -> Order:
        if number not in self._orders:
            raise UserError(f"there is no order {number}")
        return self._orders[number]

    def _forget_old(self) -> None:
        over = [order.number for order in self._orders.values() if order.stage.is_over]
        for number in over[: max(0, len(over) - MOST_KEPT)]:
            del self._orders[number]

    def _make_all(self) -> None:
        """What the thread does."""
        while (order := self._wait_for_order()) is not None:
            error = self._make(order)
            with self._changed:
                if order.stage is Stage.RUNNING:
                    order.stage, order.error = (Stage.FAILED if error else Stage.FINISHED), error
                if error:
                    leave_if_empty(order.job.path)
                order.told.pop(SURFACE, None)  # the run's folder holds a better one

    def _wait_for_order(self) -> Order | None:
        """The order that has waited longest, which runs from now on; None when the workshop is closed."""
        with self._changed:
            while not self._is_closed:
                waiting = [order for order in self._orders.values() if order.stage is Stage.WAITING]
                if waiting:
                    waiting[0].stage = Stage.RUNNING
                    return waiting[0]
                self._changed.wait()
            return None

    def _make(self, order: Order) -> str:
        """Let the process make an object, and take in what it tells. Returns the error it ended with, or ""."""
        try:
            pipe = self._hire(order)
            pipe.send(order.job)
            while not isinstance(said := pipe.recv(), str):
                name, content = said
                with self._changed:
                    order.told[name] = content
            return said
        except (EOFError, OSError):
            process = self._process
            self._dismiss()
            code = process.exitcode if process is not None else None
            return f"its process ended with exit code {code}; Continue goes on from its checkpoint"

    def _hire(self, order: Order) -> Connection:
        """The pipe of the process, which is started if there is none. Raises OSError for an order stopped meanwhile."""
        with self._changed:
            if order.stage is not Stage.RUNNING:
                raise OSError("the order was stopped")
            if self._pipe is None and not self._is_closed:
                context = multiprocessing.get_context("spawn")
                self._pipe, theirs = context.Pipe()
                self._process = context.Process(target=self._main, args=(theirs, self._workplace), daemon=True)
                self._process.start()
                theirs.close()
            if self._pipe is None:
                raise OSError("the workshop is closed")
            return self._pipe

    def _dismiss(self) -> None:
        """End the process; the next order gets another one."""
        with self._changed:
            process, self._process = self._process, None
            pipe, self._pipe = self._pipe, None
        if process is not None:
            process.terminate()
            process.join(10)
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def leave_if_empty(folder: Path) -> None:
    """Remove the folder of a run that was never begun."""
    with suppress(OSError):
        folder.rmdir()
