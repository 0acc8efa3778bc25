"""A trainable copy of a teacher's network, as a flow map: what is trained, and what it is told."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sds.copies import begun, held_as_said
from sds.denoiser import Condition, NeuralTeacher
from sds.lora import full_copy, merged_weights
from sds.number_embedding import NumberEmbedding, last_layer_of_time
from sds.precision import computing_type
from sds.processes import in_shares
from sds.schedule import NoiseSchedule, Prediction
from sds.sharding import whole
from students.change_head import HEAD, ChangeHead, taylor_share
from students.temporal_fourier import PathStates, mix_states

GUIDANCE_SCALE = "guidance_scale"
"""The name under which a condition carries the guidance scale, shape (batch,), of a student that is told it."""

LATENT = "latent"
"""The name under which a condition carries further noise, shape (batch, count), of a student that is told some."""


class Student(nn.Module):
    """A trainable copy of a teacher's network, as a flow map.

    Args:
        teacher: what it starts as; not changed, and no part of the module.
        told_end: tell the network ``s`` too. Only methods that ask for many ends of one path need it; a student
            without it keeps the teacher's architecture to the letter.
        told_guidance: tell the network the guidance scale that the condition carries (Meng et al. 2023).
        latent: how many numbers of noise the network is told beside x_t, so that its x0 is a sample and no mean (Xiao
            et al. 2022); `with_latent` draws them.
        lora: rank of the low-rank corrections that are all it learns (`sds.lora`); None trains a full copy.
        states: states of a path that it draws together and that see each other, see `students.temporal_fourier`; its
            rows then are whole paths. None draws each by itself.
        network: what is trained in place of a copy of the teacher's network.
        change: add a head that says how the prediction is about to change, see `students.change_head`; its jumps then
            are steps of second order.

    Raises:
        ValueError: for a student of low rank that shall be told more than the time, or have a head: its file has no
            place for that; for states of which it is not told the end, which is all that tells them apart; and for a
            head on a network that is no UNet.
    """

    def __init__(
        self,
        teacher: NeuralTeacher,
        *,
        told_end: bool = False,
        told_guidance: bool = False,
        latent: int = 0,
        lora: int | None = None,
        states: PathStates | None = None,
        change: bool = False,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if lora is not None and (told_end or told_guidance or latent or change):
            raise ValueError(
                "this method adds to its student's network, for which the file of a LoRA has no place; train "
                "all weights, or take a method that does without, such as lcm, consistency, dmd2, add or ufogen"
            )
        if states is not None and not told_end:
            raise ValueError("the states of a path differ in their time only: the student must be told the end")
        self.lora, self.states = lora, states
        self.network = network or begun(teacher, lora)
        if states is not None:
            mix_states(self.network, states)
        if lora is not None:
            self.register_state_dict_post_hook(_without_frozen)
            self.register_load_state_dict_post_hook(_frozen_may_be_missing)
        self._teacher = (teacher,)  # in a tuple, so that it never becomes a submodule
        self._end = NumberEmbedding(self.network, 2, "student_end") if told_end else None
        self._guidance = NumberEmbedding(self.network, 1, "student_guidance") if told_guidance else None
        self._latent = NumberEmbedding(self.network, latent, "student_latent") if latent else None
        self._change = ChangeHead(self.network, teacher.shape[0]) if change else None
        held_as_said(teacher, self.network)

    @property
    def schedule(self) -> NoiseSchedule:
        """The teacher's noise levels."""
        return self._teacher[0].schedule

    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        """See `FlowMap`. Raises ValueError if the condition does not carry what this student is told."""
        return in_shares(self._predict, x_t, t, s, condition, weights=list(self.network.parameters()))

    def _predict(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        if self._end is not None:
            self._end.numbers = self._told_of_end(s)
        if self._guidance is not None:
            if GUIDANCE_SCALE not in condition.tensors:
                raise ValueError("this student is told the guidance scale: use a condition of `GuidedTeacher`")
            self._guidance.numbers = condition.tensors[GUIDANCE_SCALE].clamp(min=1e-3).log()[:, None]
        if self._latent is not None:
            if LATENT not in condition.tensors:
                raise ValueError("this student is told further noise: draw some by `with_latent`")
            self._latent.numbers = condition.tensors[LATENT]
        x0 = self._teacher[0].denoise(self.network, x_t, t, condition)
        if self._change is None:
            return x0
        alpha, sigma = self.schedule(t)
        return x0 - taylor_share(self.schedule, t, s, x_t) * self._change(x_t, x0, torch.atan2(sigma, alpha))

    def _told_of_end(self, s: Tensor) -> Tensor:
        """Cosine and sine of atan2(sigma, alpha) at ``s``, (batch, 2): the same however a schedule scales its x_t."""
        alpha, sigma = self.schedule(s)
        return torch.stack([alpha, sigma], dim=1) / torch.hypot(alpha, sigma)[:, None]

    @property
    def prediction(self) -> Prediction | None:
        """What its network returns, if its teacher says so."""
        return getattr(self._teacher[0], "prediction", None)

    @property
    def computed_in(self) -> torch.dtype:
        """The type in which it computes, its teacher's; its weights are float32 or more."""
        return computing_type(self._teacher[0].network)

    @property
    def told_end(self) -> bool:
        """Whether the network is told ``s``."""
        return self._end is not None

    @property
    def told_guidance(self) -> bool:
        """Whether the network is told the guidance scale."""
        return self._guidance is not None

    @property
    def latent(self) -> int:
        """How many numbers of noise the network is told."""
        return self._latent.count if self._latent is not None else 0

    @property
    def knows_change(self) -> bool:
        """Whether it has a head, see `students.change_head`."""
        return self._change is not None

    def learn_change_alone(self) -> None:
        """From now on all but the head is frozen."""
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(HEAD))

    def copied(self) -> Student:
        """Another student of the same teacher, told the same, with weights of its own (those of the teacher)."""
        return Student(
            self._teacher[0],
            told_end=self.told_end,
            told_guidance=self.told_guidance,
            latent=self.latent,
            lora=self.lora,
            states=self.states,
            change=self.knows_change,
        )

    def plain_network(self, end: float = 0.0, guidance_scale: float = 1.0) -> nn.Module:
        """The network in its teacher's architecture, for one end, one guidance scale, no further noise and no states.

        What the student is told beside the time is added to the embedding of the time; what is always the same can be
        added to the bias of that embedding's last layer instead. Further noise is not; its mean, zero, is a draw like
        another, and all that fits. Layers between the states of a path do not fit, nor does a head. Of a sharded
        student all processes must ask.
        """
        network = full_copy(self._teacher[0].network)
        weights = {name: whole(tensor) for name, tensor in merged_weights(self.network).items()}
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        bias = last_layer_of_time(network).bias
        with torch.no_grad():
            if self._end is not None:
                at_end = self._told_of_end(torch.tensor([end], dtype=torch.float64))
                bias.add_(self._end.embedded(at_end.to(bias))[0])
            if self._guidance is not None:
                bias.add_(self._guidance.embedded(torch.tensor([[guidance_scale]]).log().to(bias))[0])
            if self._latent is not None:
                bias.add_(self._latent.embedded(bias.new_zeros(1, self.latent))[0])
        return network.eval().requires_grad_(False)


def _without_frozen(student: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    """What a student of low rank has not learned is its teacher's, and no part of its state."""
    del metadata
    learned = {f"{prefix}{name}" for name, parameter in student.named_parameters() if parameter.requires_grad}
    for name in [name for name in state if name.startswith(prefix) and name not in learned]:
        del state[name]


def _frozen_may_be_missing(student: nn.Module, incompatible: Any) -> None:
    learned = {name for name, parameter in student.named_parameters() if parameter.requires_grad}
    incompatible.missing_keys[:] = [
        name for name in incompatible.missing_keys if any(name.endswith(own) for own in learned)
    ]


def with_latent(condition: Condition, count: int, rng: torch.Generator) -> Condition:
    """``condition`` with ``count`` numbers of fresh noise for each image."""
    like = next(iter(condition.tensors.values()))
    noise = torch.randn(len(condition), count, generator=rng)
    return Condition({**condition.tensors, LATENT: noise.to(like.device)})
