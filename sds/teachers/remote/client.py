"""A teacher elsewhere, asked through its port: for a laptop that sculpts against a card, or runs that share one.

The score of a teacher needs no gradient of it, so all that travels is x_t, times and what the teacher is told, and its
prediction back. Only the border between images and x is differentiated, and the other side does that too.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sds.denoiser import Condition, View
from sds.schedule import NoiseSchedule
from sds.teachers.remote.messages import LARGEST, MessageError, condition_in, packed, unpacked, wanted, with_condition

PATIENCE = 600.0
"""Seconds to wait for an answer: the first may meet a card that is busy with others."""


FIRST_QUESTION = "about"
"""What a teacher is asked before anything else; a run that gets no answer to it has nothing yet that could go on."""


class RemoteTeacherError(ValueError):
    """A teacher's port does not answer, or refuses. The message says what to do."""


class NetworkStaysThereError(RemoteTeacherError, AttributeError):
    """The network of a teacher elsewhere is wanted; who only looks whether there is one here finds none."""


class RemoteTeacher:
    """Meets `sds.denoiser.Teacher`. It has no network to copy, which critics and students would need.

    Args:
        address: "http://host:port", as `scoresmith teacher` prints it.
        device: where its answers shall be.

    Raises:
        RemoteTeacherError: if nothing answers there, or something else than a teacher.
    """

    def __init__(self, address: str, device: torch.device | str = "cpu") -> None:
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname is None or parts.path not in ("", "/"):
            raise RemoteTeacherError(f"{address} is not the address of a teacher, such as http://127.0.0.1:8290")
        self.address, self.device = address.rstrip("/"), torch.device(device)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=PATIENCE)
        about = self._ask(FIRST_QUESTION)[1]
        try:
            channels, height, width = (int(number) for number in about["shape"])
            self.knows_views, self.takes_sentences = bool(about["knows_views"]), bool(about["takes_sentences"])
        except (KeyError, TypeError, ValueError):
            raise RemoteTeacherError(f"{self.address} is no teacher of this version of scoresmith") from None
        self.shape: tuple[int, int, int] = (channels, height, width)
        self.schedule = NoiseSchedule(
            lambda t: (self._levels(t)["alpha"], self._levels(t)["sigma"]), lambda t: self._levels(t)["timestep"]
        )
        self._kept: dict[str, Condition] = {}
        self._last_levels: tuple[list[float], dict[str, Tensor]] = ([], {})

    @property
    def network(self) -> nn.Module:
        """There is none. Raises NetworkStaysThereError, which says what to do instead."""
        self._has_no_network()

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """There is no network to put another in the place of. Raises NetworkStaysThereError."""
        del network, x_t, t, condition
        self._has_no_network()

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], shape and device of ``x_t``."""
        tensors = {"x_t": x_t, "t": t, **with_condition(condition)}
        return wanted(self._ask("predict", tensors)[0], "x0")[0].to(x_t)

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """See `sds.denoiser.Teacher`. What depends on the prompt alone is asked once."""
        if self.knows_views:
            parts = ("azimuth", "elevation", "background") if view is not None else ()
            tensors = {name: getattr(view, name) for name in parts}
            return condition_in(self._ask("condition", tensors, prompts=list(prompts))[0]).to(self.device)
        unseen = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._kept]
        if unseen:
            told = condition_in(self._ask("condition", prompts=unseen)[0]).to(self.device)
            self._kept |= {prompt: told[row : row + 1] for row, prompt in enumerate(unseen)}
        return Condition.concatenate([self._kept[prompt] for prompt in prompts])

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1] as x. Differentiable."""
        return _Encoding.apply(image, self)

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """The image that x stands for, without a gradient."""
        return wanted(self._ask("decode", {"x": x})[0], "image")[0].to(x)

    def _levels(self, t: Tensor) -> dict[str, Tensor]:
        """What the schedule says at ``t``; asked once for the same times in a row."""
        if t.tolist() != self._last_levels[0]:
            self._last_levels = (t.tolist(), self._ask("levels", {"t": t})[0])
        return self._last_levels[1]

    def _has_no_network(self) -> NoReturn:
        raise NetworkStaysThereError(
            f"the network of the teacher at {self.address} stays there: methods that train a copy of it (vsd, all of "
            "distill) need its folder here; sds, nfsd and csd do not"
        )

    def _ask(
        self, what: str, tensors: Mapping[str, Tensor] | None = None, **words: Any
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        question = packed(tensors or {}, **words)
        try:
            try:
                status, content = self._post(what, question)
            except (http.client.RemoteDisconnected, ConnectionError):  # it hangs up after a while of silence
                self._connection.close()
                status, content = self._post(what, question)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            then = "try again" if what == FIRST_QUESTION else "continue with --resume"
            raise RemoteTeacherError(
                f"the teacher at {self.address} does not answer ({error or type(error).__name__}): start it there by "
                f"`scoresmith teacher FOLDER`, and {then}"
            ) from None
        if status != http.HTTPStatus.OK:
            raise RemoteTeacherError(f"the teacher at {self.address} refuses: {_reason(content)}")
        try:
            return unpacked(content)
        except MessageError as error:
            raise RemoteTeacherError(f"{self.address} is no teacher: {error}") from None

    def _post(self, what: str, question: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", f"/{what}", question)
        response = self._connection.getresponse()
        return response.status, response.read(LARGEST)


class _Encoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, teacher: RemoteTeacher) -> Tensor:
        ctx.save_for_backward(image)
        ctx.teacher = teacher
        return wanted(teacher._ask("encode", {"image": image})[0], "x")[0].to(image)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (image,) = ctx.saved_tensors
        answer = ctx.teacher._ask("encode-gradient", {"image": image, "gradient": gradient})[0]
        return wanted(answer, "gradient")[0].to(image), None


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return "for no reason that it tells"
