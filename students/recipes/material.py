"""What a student learns from: the teacher's pairs, and images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sds.processes import first_process_says, is_first_process
from students.recipes.order import Order
from students.training.batches import ImageSource, TeacherImages
from students.training.pairs import Pairs, PairsError, load_pairs, make_pairs


def obtained_pairs(order: Order, keep: Sequence[int] = ()) -> Pairs:
    """The guided teacher's pairs: read from the file if it is there, else made and written.

    Raises students.training.pairs.PairsError if the file holds pairs of another teacher, another guidance scale or
    another number, or not the states in between that ``keep`` asks for.
    """
    if order.pairs_file is not None and first_process_says(order.pairs_file.exists()):
        found = load_pairs(order.pairs_file, order.guided.teacher)
        if len(found) != order.pairs or len(found.times) < len(keep) + 2:
            raise PairsError(
                f"{order.pairs_file} holds {len(found)} pairs with {len(found.times) - 2} states in between, where "
                f"{order.pairs} with {len(keep)} are wanted: remove it and they will be made, or ask for what it holds"
            )
        return found
    rng = torch.Generator().manual_seed(order.seed)
    pairs = make_pairs(order.guided, order.pairs, rng, steps=order.path_steps, keep=keep, report=order.report)
    if order.pairs_file is not None and is_first_process():
        pairs.save(order.pairs_file)
    return pairs


def images(order: Order) -> ImageSource:
    """Real images if there are any, else images that the guided teacher has drawn."""
    return order.images or TeacherImages(obtained_pairs(order), order.guided.teacher)
