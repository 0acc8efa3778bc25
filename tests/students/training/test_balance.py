"""Losses that get the same say in the last layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sds.denoiser import Condition
from students.methods.targets import Learning
from students.training.balance import Balanced, last_weights
from students.training.batches import Batch

NETWORK = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
BATCH = Batch(torch.ones(4, 2), Condition({"nothing": torch.zeros(4, 0)}))


class Times:
    """A multiple of the mean output; counts its calls as something learned."""

    def __init__(self, factor: float) -> None:
        self.factor, self.calls = factor, 0

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        self.calls += 1
        return self.factor * NETWORK(batch.noise).mean()

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


def learning() -> Learning:
    return Learning(None, None, 0.0, torch.Generator())  # type: ignore[arg-type]


def test_each_loss_reaches_the_last_layer_with_its_share_of_the_first():
    last = last_weights(NETWORK)
    assert last is NETWORK[2].weight
    balanced = Balanced(Times(2.0), [(Times(50.0), 0.5), (Times(1e-3), 1.0)], last)
    (total,) = torch.autograd.grad(balanced(learning(), BATCH), [last])
    (first,) = torch.autograd.grad(Times(2.0)(learning(), BATCH), [last])
    torch.testing.assert_close(total, (1 + 0.5 + 1.0) * first)
    assert balanced.factors == pytest.approx([0.5 * 2 / 50, 2 / 1e-3])


def test_a_silent_loss_is_left_alone_and_a_whisper_is_not_blown_up():
    last = last_weights(NETWORK)
    balanced = Balanced(Times(1.0), [(Times(0.0), 1.0), (Times(1e-9), 1.0)], last)
    assert bool(torch.isfinite(balanced(learning(), BATCH)))
    assert balanced.factors == [0.0, 1e4]


def test_the_losses_go_on_where_they_were():
    first = Balanced(Times(1.0), [(Times(2.0), 1.0)], last_weights(NETWORK))
    first(learning(), BATCH)
    second = Balanced(Times(1.0), [(Times(2.0), 1.0)], last_weights(NETWORK))
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict() == {"terms": [{"calls": 1}, {"calls": 1}]}
    with pytest.raises(ValueError, match="another method"):
        Balanced(Times(1.0), [], last_weights(NETWORK)).load_state_dict(first.state_dict())


def test_a_network_without_layers_cannot_be_balanced():
    with pytest.raises(ValueError, match="no convolution"):
        last_weights(nn.ReLU())
