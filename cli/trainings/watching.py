"""How good a student is while it is trained: sheets of samples, and distances to a few hundred reference images.

The distances are of few images, so they are too large beside those of `scoresmith evaluate`; but all of a run are of
the same number, the same noise and the same reference, so that they can be compared with each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cli.trainings.reference import (
    CLASSIFIER,
    RECOGNISER_FEATURES,
    Features,
    features_called,
    of_pictures,
    shipped_reference,
)
from sds.copies import Copies
from sds.denoiser import Condition, NeuralTeacher
from students.folder import StudentCard, sample
from students.inputs import inputs_of, with_inputs
from students.measures.evaluation import FEWEST_IMAGES, frechet_distance, kernel_distance
from students.measures.reference import Reference
from students.recipes.order import Order, StudentRun
from students.student import Student
from students.teachers import AroundNeuralTeacher
from students.training.real_images import RealImages

AT_ONCE = 32


class WithNetwork(AroundNeuralTeacher):
    """A teacher with another network in the place of its own."""

    def __init__(self, teacher: NeuralTeacher, network: nn.Module) -> None:
        super().__init__(teacher)
        self._network = network

    @property
    def network(self) -> nn.Module:
        """The other network."""
        return self._network

    @property
    def copies(self) -> Copies:
        """Of a network that is whole in every process."""
        return Copies()

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """What the network sees in ``x_t``."""
        return self.denoise(self.network, x_t, t, condition)


def finished(run: StudentRun, teacher: NeuralTeacher) -> Student | NeuralTeacher:
    """The student of a run as its folder will hold it, whole in every process; all of them must ask."""
    student = run.finished_student()
    network = student.plain_network(guidance_scale=run.card.guidance_scale)
    return with_inputs(inputs_of(student), WithNetwork(teacher, network))


class Watch:
    """Compares a student's images with reference images from time to time.

    Args:
        order: of the run.
        card: how the student draws.
        reference: what is compared with.
        features: with what.
    """

    def __init__(self, order: Order, card: StudentCard, reference: Reference, features: Features) -> None:
        self.order, self.card, self.reference, self.features = order, card, reference, features

    @torch.no_grad()
    def __call__(self, student: Student | NeuralTeacher) -> dict[str, float]:
        """Frechet and kernel distance of a `finished` student's images, by the names of a log.

        The noise is the same at each call, and the run's own random numbers are left alone.
        """
        teacher, rng, seen = self.order.teacher, torch.Generator().manual_seed(1), []
        for rows in torch.arange(len(self.reference)).split(AT_ONCE):
            view = None if self.reference.view is None else self.reference.view.part(rows)
            condition = teacher.condition([self.reference.prompts[i] for i in rows], view)
            x = sample(student, self.card, teacher.shape, condition, rng)
            seen.append(self.features(teacher.decode(x).clamp(0, 1).float().cpu()))
        drawn = torch.cat(seen)
        return {
            "frechet_distance": frechet_distance(self.reference.features, drawn),
            "kernel_distance": kernel_distance(self.reference.features, drawn),
            "compared_images": float(len(drawn)),
        }


def watch_for(run: StudentRun, order: Order, teacher: str, images: int) -> Watch | None:
    """The watch of a run: beside the reference in its teacher's folder, or the pictures that it learns from, if any.

    Args:
        run, order: of the training.
        teacher: its name.
        images: how many are compared; fewer than `FEWEST_IMAGES` are not.
    """
    shipped = shipped_reference(teacher, RECOGNISER_FEATURES) if images >= FEWEST_IMAGES else None
    pictures = order.images if isinstance(order.images, RealImages) else None
    if images < FEWEST_IMAGES or (shipped is None and pictures is None):
        return None
    features, network = features_called(CLASSIFIER, torch.device("cpu"))
    if shipped is not None:
        return Watch(order, run.card, shipped.first(images), features)
    assert pictures is not None
    of_theirs = of_pictures(pictures, images, features, network, "the pictures that are learned from")
    return Watch(order, run.card, of_theirs, features)
