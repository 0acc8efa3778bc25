"""What a user can ask of a big teacher beside its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class TeacherOptions:
    """Changes to a teacher's weights, and how it computes.

    Attributes:
        config: a folder in the diffusers layout, or a repository of the hub, that describes a single-file teacher.
        loras: files of low-rank changes, each "FILE" or "FILE:SCALE", added one after the other.
        words: files of learned words (textual inversions) that prompts may use.
        tiny_autoencoder: a folder or file of a distilled autoencoder (TAESD) to use in place of the teacher's own.
        compiled: whether the denoising network is compiled (`torch.compile`): a minute at the first step, then faster.
        offload: whether the network waits in the computer's memory while it is not at work.
    """

    config: str = ""
    loras: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    tiny_autoencoder: str = ""
    compiled: bool = False
    offload: bool = False
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    @property
    def change_encoders(self) -> bool:
        """Whether the text encoders may differ from those of the teacher's folder."""
        return bool(self.loras or self.words)

    @property
    def named(self) -> tuple[str, ...]:
        """All files, folders and repositories that are named."""
        return tuple(name for name in (self.config, *self.loras, *self.words, self.tiny_autoencoder) if name)


AS_IT_IS = TeacherOptions()
