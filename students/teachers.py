"""Teachers made of a teacher: guided, in a student's own space, or with a finished student in its place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from sds.copies import Copies, copies_of
from sds.denoiser import Condition, NeuralTeacher, Teacher, View
from sds.processes import in_shares
from sds.schedule import NoiseSchedule, Prediction
from students.flow_map import FlowMap


def can_be_guided(teacher: Teacher) -> bool:
    """Whether a teacher has a null prompt beside those that it is told; only unconditional ones and some that know
    classes alone have none."""
    return getattr(teacher, "has_null", True)


def vocabulary_of(teacher: Teacher) -> Sequence[str] | None:
    """All that a teacher can be asked for, if it is a list: class names, or the empty prompt of one that knows none."""
    return getattr(teacher, "vocabulary", None)


class AroundTeacher:
    """A teacher that says in everything what another says; the ones below change a member or two."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    @property
    def schedule(self) -> NoiseSchedule:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher.schedule

    @property
    def shape(self) -> tuple[int, int, int]:
        """See `sds.denoiser.Teacher`."""
        return self.teacher.shape

    @property
    def knows_views(self) -> bool:
        """See `sds.denoiser.Teacher`."""
        return self.teacher.knows_views

    @property
    def has_null(self) -> bool:
        """Whether there is a null prompt to guide away from; see `can_be_guided`."""
        return can_be_guided(self.teacher)

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """See `vocabulary_of`."""
        return vocabulary_of(self.teacher)

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """See `sds.denoiser.Teacher`."""
        return self.teacher.condition(prompts, view)

    def encode(self, image: Tensor) -> Tensor:
        """See `sds.denoiser.Teacher`."""
        return self.teacher.encode(image)

    def decode(self, x: Tensor) -> Tensor:
        """See `sds.denoiser.Teacher`."""
        return self.teacher.decode(x)

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher(x_t, t, condition)


class AroundNeuralTeacher(AroundTeacher):
    """The same for a teacher that is a network, and that students and critics may start from."""

    def __init__(self, teacher: NeuralTeacher) -> None:
        super().__init__(teacher)
        self.neural = teacher

    @property
    def network(self) -> nn.Module:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.network

    @property
    def copies(self) -> Copies:
        """How trainable copies of the network are held."""
        return copies_of(self.neural)

    @property
    def prediction(self) -> Prediction | None:
        """What the network returns, if the teacher says so."""
        return getattr(self.neural, "prediction", None)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.denoise(network, x_t, t, condition)


class WithCopies(AroundNeuralTeacher):
    """A neural teacher whose students, critics and discriminators hold their copies of its network in a certain way.

    Args:
        teacher: whose network is copied.
        copies: how.
    """

    def __init__(self, teacher: NeuralTeacher, copies: Copies) -> None:
        super().__init__(teacher)
        self._copies = copies

    @property
    def copies(self) -> Copies:
        """How trainable copies of the network are held."""
        return self._copies


class TeacherInShares(AroundNeuralTeacher):
    """A neural teacher whose predictions are computed in shares by all processes; see `sds.processes`.

    `denoise` is not shared: whoever calls it with a network of his own shares that call as a whole.
    """

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`. All processes must call it alike."""
        return in_shares(self.teacher, x_t, t, condition)


class Differentiable(AroundTeacher):
    """A neural teacher, or another network in its place, whose predictions are differentiated in x_t.

    Args:
        teacher: whose way of calling a network is used.
        network: what predicts; by default the teacher's own.
    """

    def __init__(self, teacher: NeuralTeacher, network: nn.Module | None = None) -> None:
        super().__init__(teacher)
        self.neural, self.network = teacher, network or teacher.network

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`; the weights of the network are not to be trained by it."""
        return in_shares(partial(self.neural.denoise, self.network), x_t, t, condition)


class InOwnSpace(AroundTeacher):
    """A teacher for generators that draw x itself: there is no border between image and x to cross."""

    def encode(self, image: Tensor) -> Tensor:
        """``image``, which is x already."""
        return image

    def decode(self, x: Tensor) -> Tensor:
        """``x`` as it is."""
        return x


class StudentAsTeacher(AroundTeacher):
    """A student in the place of its teacher, for the next stage: its prediction for the path's next moment.

    Args:
        teacher: who understands prompts and images.
        student: whose predictions count.
    """

    def __init__(self, teacher: Teacher, student: FlowMap) -> None:
        super().__init__(teacher)
        self.student = student

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The student's x0 for an end where it stands."""
        return self.student(x_t, t, t, condition)
