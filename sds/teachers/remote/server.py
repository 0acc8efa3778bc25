"""A teacher that answers at a port: messages in and out, questions of several clients joined into one call.

It listens to this machine alone unless another address is named, and answers nothing but the few questions below.
Nothing that it is sent is executed or written anywhere.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher
from sds.teachers.remote.messages import LARGEST, MessageError, condition_in, packed, unpacked, wanted, with_condition

MOST_ROWS = 16
"""Of one call of the teacher, unless a single question has more."""

SILENCE = 120.0
"""Seconds after which a connection that says nothing is closed."""

PREFERRED_PORT = 8290


@dataclass(frozen=True)
class Question:
    """One client's x_t, times and condition, and where its answer goes."""

    x_t: Tensor
    t: Tensor
    condition: Condition
    answer: Future[Tensor] = field(default_factory=Future)

    def fits(self, other: Question) -> bool:
        """Whether both can be asked in one call."""
        mine, others = self.condition.tensors, other.condition.tensors
        return (
            self.x_t.shape[1:] == other.x_t.shape[1:]
            and mine.keys() == others.keys()
            and all(mine[name].shape[1:] == others[name].shape[1:] for name in mine)
        )


class Together:
    """Asks a teacher from one thread, the questions that wait at the same time in one call.

    Args:
        teacher: who is asked.
        most_rows: of a call.
    """

    def __init__(self, teacher: Teacher, most_rows: int = MOST_ROWS) -> None:
        self.teacher, self.most_rows, self.calls = teacher, most_rows, 0
        self.turn = threading.Lock()  # one thing at a time on the card
        self._waiting: SimpleQueue[Question] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The teacher's prediction; raises what it raises."""
        question = Question(x_t, t, condition)
        self._waiting.put(question)
        return question.answer.result()

    def _work(self) -> None:
        left: Question | None = None
        while True:
            asked = [left or self._waiting.get()]
            left, rows = None, len(asked[0].x_t)
            while rows < self.most_rows and left is None:
                try:
                    following = self._waiting.get_nowait()
                except Empty:
                    break
                if following.fits(asked[0]) and rows + len(following.x_t) <= self.most_rows:
                    asked.append(following)
                    rows += len(following.x_t)
                else:
                    left = following
            self._answer(asked)

    def _answer(self, asked: list[Question]) -> None:
        try:
            condition = Condition.concatenate([question.condition for question in asked])
            x_t, t = torch.cat([question.x_t for question in asked]), torch.cat([question.t for question in asked])
            with self.turn, torch.no_grad():
                self.calls += 1
                x0 = self.teacher(x_t, t, condition)
            for question, part in zip(asked, x0.split([len(question.x_t) for question in asked]), strict=True):
                question.answer.set_result(part)
        except Exception as error:  # whatever it is, it belongs to whoever asked
            for question in asked:
                question.answer.set_exception(error)


class TeacherServer(ThreadingHTTPServer):
    """Answers `sds.teachers.remote.client.RemoteTeacher`.

    Args:
        teacher: who answers.
        device: where it computes.
        host, port: where to listen; port 0 takes any.

    Raises:
        OSError: if the port is taken.
    """

    daemon_threads = True

    def __init__(
        self, teacher: Teacher, device: torch.device | str, host: str = "127.0.0.1", port: int = PREFERRED_PORT
    ) -> None:
        self.teacher, self.device, self.together = teacher, torch.device(device), Together(teacher)
        self.loopback = host in ("127.0.0.1", "localhost", "::1")
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """For `--teacher`."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def answer(self, what: str, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes | None:
        """The answer to a question; None if there is no such. Raises ValueError for one that makes no sense."""
        questions: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], bytes]] = {
            "about": self._about,
            "levels": self._levels,
            "condition": self._condition,
            "predict": self._predict,
            "encode": self._encode,
            "encode-gradient": self._encode_gradient,
            "decode": self._decode,
        }
        return questions[what](tensors, words) if what in questions else None

    def _about(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del tensors, words
        return packed(
            {},
            shape=list(self.teacher.shape),
            knows_views=self.teacher.knows_views,
            takes_sentences=bool(getattr(self.teacher, "takes_sentences", True)),
        )

    def _levels(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del words
        (t,) = wanted(tensors, "t")
        alpha, sigma = self.teacher.schedule(t)
        return packed({"alpha": alpha, "sigma": sigma, "timestep": self.teacher.schedule.timestep(t)})

    def _condition(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        prompts = words.get("prompts")
        if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
            raise MessageError("a condition needs prompts")
        view = None
        if "azimuth" in tensors:
            azimuth, elevation, background = wanted(tensors, "azimuth", "elevation", "background")
            view = SimpleNamespace(azimuth=azimuth, elevation=elevation, background=background)
        with self.together.turn:
            return packed(with_condition(self.teacher.condition(prompts, view)))

    def _predict(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del words
        x_t, t = wanted(tensors, "x_t", "t")
        condition = condition_in(tensors)
        if x_t.shape[1:] != self.teacher.shape or not len(x_t) == len(t) == len(condition):
            raise MessageError(f"x_t must have shape (batch, {self.teacher.shape}), with a time and a condition each")
        return packed({"x0": self.together.ask(x_t.to(self.device), t, condition.to(self.device))})

    def _encode(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del words
        (image,) = wanted(tensors, "image")
        with self.together.turn, torch.no_grad():
            return packed({"x": self.teacher.encode(image.to(self.device))})

    def _encode_gradient(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del words
        image, gradient = (tensor.to(self.device) for tensor in wanted(tensors, "image", "gradient"))
        image.requires_grad_()
        with self.together.turn, torch.enable_grad():
            (slope,) = torch.autograd.grad(self.teacher.encode(image), image, gradient)
        return packed({"gradient": slope})

    def _decode(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> bytes:
        del words
        (x,) = wanted(tensors, "x")
        with self.together.turn, torch.no_grad():
            return packed({"image": self.teacher.decode(x.to(self.device))})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    server: TeacherServer

    def do_POST(self) -> None:  # the library's name
        """Answer one question."""
        if self.server.loopback and self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            return self._refuse(HTTPStatus.FORBIDDEN, "the page of another host may not ask here")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a message has at most {LARGEST} bytes")
        try:
            answer = self.server.answer(self.path.removeprefix("/"), *unpacked(self.rfile.read(int(length))))
        except (ValueError, RuntimeError, torch.OutOfMemoryError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, " ".join(str(error).split())[:300])
        if answer is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "no such question")
        return self._send(HTTPStatus.OK, answer, "application/octet-stream")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # what was sent may not have been read
        self._send(status, json.dumps({"error": reason}).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a step asks a few times a second."""
