"""What teachers from a folder share, whatever computes their network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, Prediction
from sds.teachers.conditioning import with_camera
from sds.teachers.connection import Connection
from sds.teachers.image_codec import ImageCodec


class FolderTeacher:
    """All of a teacher but its network: what it is told, and the border to images.

    Attributes:
        schedule: the noise levels it was trained on.
        prediction: what its network returns.
        codec: the border between images and x.
        prompts: makes its conditions.
        knows_views: whether it is told the camera as numbers.
        views_together: so many pictures in a row are views of one object, with one noise level.
        call: how the network is called.
    """

    def __init__(
        self, schedule: NoiseSchedule, prediction: Prediction, codec: ImageCodec, connection: Connection
    ) -> None:
        self.schedule = schedule
        self.prediction = prediction
        self.codec = codec
        self.prompts = connection.prompts
        self.knows_views = connection.told_camera
        self.views_together = connection.views_together
        self.call = connection.call

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of x: pixels in [-1, 1], or latents."""
        return self.codec.shape

    @property
    def takes_sentences(self) -> bool:
        """Whether prompts are free text; False for class-conditional and unconditional teachers."""
        return self.prompts.takes_sentences

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """All prompts that there are: class names, or the empty prompt alone; None where any text is one."""
        return self.prompts.vocabulary

    @property
    def has_null(self) -> bool:
        """Whether it can be guided: there is a null prompt beside the others."""
        return self.prompts.has_null

    @torch.no_grad()
    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """One row for each prompt. Text is encoded once for each prompt and kept.

        Raises:
            ValueError: for a bare string; if a prompt is no class of a class-conditional teacher, is not empty for an
                unconditional one, or if a teacher that is told the camera gets no view.
            RuntimeError: for a new prompt after `release_text_encoders`.
        """
        require_prompts(prompts)
        condition = self.prompts(prompts)
        return with_camera(condition, view) if self.knows_views else condition

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1], of any size, as x of `shape`. Differentiable."""
        return self.codec.encode(image)

    def decode(self, x: Tensor) -> Tensor:
        """The image that x stands for, in [0, 1] up to what x exceeds its range by. Differentiable."""
        return self.codec.decode(x)

    def release_text_encoders(self, prompts: Sequence[str] = ()) -> None:
        """Frees the text encoders, often the largest part.

        ``prompts``, those seen so far and the null prompt stay usable.
        """
        if prompts and self.takes_sentences:
            self.prompts(prompts)
        self.prompts.release()
