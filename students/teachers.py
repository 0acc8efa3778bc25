"""Teachers made of a teacher: guided, in a student's own space, or with a finished student in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from sds.copies import Copies, copies_of
from sds.denoiser import Condition, NeuralTeacher, Teacher, View
from sds.guidance import Guidance
from sds.processes import in_shares
from sds.schedule import NoiseSchedule, Prediction, flow_schedule, scale, time_at, time_at_angle
from students.flow_map import GUIDANCE_SCALE, FlowMap

NULL = "null "
"""Before the names of the null prompt's tensors in a condition of `GuidedTeacher`."""


def can_be_guided(teacher: Teacher) -> bool:
    """Whether a teacher has a null prompt beside those that it is told; only unconditional ones and some that know
    classes alone have none."""
    return getattr(teacher, "has_null", True)


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


class OnStraightPaths(AroundNeuralTeacher):
    """A neural teacher with the noise levels of a flow, x = (1 - s) x0 + s noise, whatever its own are.

    Dividing x_t by alpha + sigma makes any path straight in that sense, with s = sigma / (alpha + sigma); the clean
    image that belongs to it stays the same, and so do DDIM steps. A teacher that was never shown pure noise is asked
    for its last level beyond it.
    """

    def __init__(self, teacher: NeuralTeacher) -> None:
        super().__init__(teacher)
        self._schedule = flow_schedule()

    @property
    def schedule(self) -> NoiseSchedule:
        """Straight paths."""
        return self._schedule

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.denoise(network, *self._in_its_own_levels(x_t, t), condition)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher(*self._in_its_own_levels(x_t, t), condition)

    def _in_its_own_levels(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        own = self.neural.schedule
        time = time_at_angle(own, torch.atan2(t, 1 - t))
        alpha, sigma = own(time)
        return x_t * scale(alpha + sigma, x_t), time


class BelowPureNoise(AroundNeuralTeacher):
    """A neural teacher whose t = 1 is a lower noise level than its own: what is above is never asked.

    Args:
        teacher: asked at t * top.
        top: its time at the new t = 1, in (0, 1].
    """

    def __init__(self, teacher: NeuralTeacher, top: float) -> None:
        super().__init__(teacher)
        self.top = top
        own = teacher.schedule
        self._schedule = NoiseSchedule(lambda t: own.coefficients(t * top), lambda t: own.told(t * top))

    @property
    def schedule(self) -> NoiseSchedule:
        """The lower part of the teacher's."""
        return self._schedule

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`."""
        return self.neural.denoise(network, x_t, t * self.top, condition)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        return self.teacher(x_t, t * self.top, condition)


def answerable(teacher: NeuralTeacher) -> NeuralTeacher:
    """``teacher``, or the part of it that a student can learn from.

    A network that predicts noise says x0 = (x_t - sigma eps) / alpha: its errors, and those of every student and critic
    that begins as its copy, are multiplied by sigma / alpha, and a loss of images by the square of that. Above
    `MOST_AMPLIFIED` what it says about an image is its error and nothing else, so that t = 1 becomes that level; a
    student of pure noise begins there. All else that a teacher may predict is bounded at every level.
    """
    prediction = getattr(teacher, "prediction", None)
    top = answerable_time(teacher.schedule, prediction)
    return teacher if top == 1.0 else BelowPureNoise(teacher, top)


def answerable_time(schedule: NoiseSchedule, prediction: Prediction | None) -> float:
    """The largest t at which a network of this prediction type can be asked for an image; 1 for all but noise.

    It is a step of the network's own, so that a table of its noise levels can end with it.
    """
    if prediction is not Prediction.EPSILON:
        return 1.0
    first = float(time_at(schedule, torch.tensor([MOST_AMPLIFIED], dtype=torch.float64)))
    last_step = float(schedule.timestep(torch.ones(1, dtype=torch.float64)))
    return min(1.0, math.ceil(first * last_step - 1e-6) / last_step)  # up: what was cut there is not cut again


MOST_AMPLIFIED = 10.0
"""The largest sigma / alpha at which a prediction of noise is turned into an image in a training."""


class InOwnSpace(AroundTeacher):
    """A teacher for generators that draw x itself: there is no border between image and x to cross."""

    def encode(self, image: Tensor) -> Tensor:
        """``image``, which is x already."""
        return image

    def decode(self, x: Tensor) -> Tensor:
        """``x`` as it is."""
        return x


class GuidedTeacher(AroundTeacher):
    """A teacher whose every prediction is guided, so that whole paths can be: null + scale (conditional - null).

    Its conditions carry the null prompt's tensors and the scale beside the prompt's own, which a student reads as ever.

    Args:
        teacher: what is guided.
        guidance_scale: of conditions that are made; `with_guidance` changes it for each image.
        negative: told in place of the null prompt.
        guidance: all else about guidance; its own scale is not used.
    """

    def __init__(
        self, teacher: Teacher, guidance_scale: float, negative: str = "", guidance: Guidance | None = None
    ) -> None:
        super().__init__(teacher)
        self.guidance_scale, self.negative = guidance_scale, negative
        self.guidance = guidance or Guidance(guidance_scale)

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """What prompt, null prompt and guidance say, in one condition.

        A teacher without a null prompt is told the prompt in its place: no guidance changes what it says.
        """
        told = self.teacher.condition(prompts, view).tensors
        null = told
        if self.negative or can_be_guided(self.teacher):
            null = self.teacher.condition([self.negative] * len(prompts), view).tensors
        device = next(iter(told.values())).device
        scales = torch.full((len(prompts),), self.guidance_scale, device=device)
        return Condition({**told, **{NULL + name: tensor for name, tensor in null.items()}, GUIDANCE_SCALE: scales})

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The guided prediction, by one call of the teacher. Raises ValueError for a condition of another teacher."""
        if bool((self._scales(condition) == 1).all()):
            return self.teacher(x_t, t, condition)
        return self.guided_and_null(x_t, t, condition)[0]

    def guided_and_null(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The guided x0 prediction and that for the null prompt, see `sds.solvers.GuidedDenoiser`."""
        scales = self._scales(condition)
        null = {name.removeprefix(NULL): value for name, value in condition.tensors.items() if name.startswith(NULL)}
        both = Condition.concatenate([Condition({name: condition.tensors[name] for name in null}), Condition(null)])
        conditional, unconditional = self.teacher(torch.cat([x_t, x_t]), torch.cat([t, t]), both).chunk(2)
        return self.guidance(conditional, unconditional, t, scales), unconditional

    def _scales(self, condition: Condition) -> Tensor:
        if GUIDANCE_SCALE not in condition.tensors or not any(name.startswith(NULL) for name in condition.tensors):
            raise ValueError("a guided teacher needs a condition of its own: it must carry the null prompt too")
        return condition.tensors[GUIDANCE_SCALE]


def with_guidance(condition: Condition, scales: Tensor) -> Condition:
    """A condition of `GuidedTeacher` with other guidance scales, shape (batch,)."""
    return Condition({**condition.tensors, GUIDANCE_SCALE: scales.to(condition.tensors[GUIDANCE_SCALE])})


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
