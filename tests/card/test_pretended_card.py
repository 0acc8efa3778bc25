"""The pretended card refuses and counts what a real one would refuse, or be slow at."""

import pytest
import torch
from torch import nn

from tests.card.conftest import REAL
from tests.card.pretended import pretended_card
from tests.card.rules import Counts

pytestmark = pytest.mark.skipif(REAL, reason="about the pretended card")


def test_tensors_say_where_they_are_and_compute(card: Counts) -> None:
    x = torch.arange(4.0, device="cuda")
    y = (x.to("cuda:0") * 2).sum()
    assert (x.device.type, x.is_cuda, y.device) == ("cuda", True, torch.device("cuda", 0))
    assert y.cpu().device.type == "cpu"
    assert float(y) == 12.0


@pytest.mark.parametrize(
    "mixed",
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat([here, there]),
        lambda here, there: here @ there,
        lambda here, there: torch.where(there > 0, here, here),
        lambda here, there: there[here.long()],
        lambda here, there: nn.functional.linear(here, there[None]),
    ],
)
def test_operands_on_two_devices_are_refused(card: Counts, mixed) -> None:
    with pytest.raises(RuntimeError, match=r"same device|on cpu"):
        mixed(torch.ones(3, device="cuda"), torch.ones(3))


def test_what_torch_lets_pass_is_let_pass(card: Counts) -> None:
    here = torch.zeros(3, device="cuda")
    assert float((here + torch.tensor(2.0)).sum()) == 6.0
    assert here[torch.tensor([0, 2])].tolist() == [0.0, 0.0]
    here.copy_(torch.ones(3))
    assert float(here.sum()) == 3.0


def test_numpy_and_generators_of_the_host_are_refused(card: Counts) -> None:
    with pytest.raises(TypeError, match="host memory first"):
        torch.ones(2, device="cuda").numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(2, device="cuda", generator=torch.Generator())


def test_gradients_cross_the_border_in_both_directions(card: Counts) -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x.to("cuda").square().cpu() * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad is not None
    assert (x.grad.device.type, x.grad.tolist()) == ("cpu", [2.0, 40.0])


def test_modules_move_and_train_there(card: Counts) -> None:
    layer = nn.Linear(2, 1).to("cuda")
    before = layer.weight.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    layer(torch.ones(3, 2, device="cuda")).sum().backward()
    optimizer.step()
    assert layer.weight.is_cuda
    assert (before - layer.weight).abs().min().item() > 0.05


def test_waiting_and_double_precision_are_counted_by_line(card: Counts) -> None:
    x = torch.rand(100, device="cuda")
    assert card.total("synchronisations") == 0
    float(x.sum())
    x.nonzero()
    x[x > 0.5]
    x.cpu()
    x.double().square()
    assert card.total("synchronisations") == 4
    assert card.total("float64") >= 1
    assert "elsewhere" in card.listed("synchronisations")  # these lines are no part of the program


def test_a_weight_may_be_given_other_data(card: Counts) -> None:
    """As peft and diffusers change the type of a parameter that an optimiser will hold."""
    weight = nn.Linear(2, 2).to("cuda", torch.bfloat16).weight
    weight.data = weight.data.to(torch.float32)
    assert weight.dtype is torch.float32
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0)
    before = weight.detach().clone()
    weight.sum().backward()
    optimizer.step()
    torch.testing.assert_close(weight.detach().cpu(), before.cpu() - 0.1, rtol=1e-5, atol=1e-5)


def test_autocast_and_loss_scaling_work_there(card: Counts) -> None:
    layer = nn.Linear(4, 4).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(torch.ones(1, 4, device="cuda")).dtype is torch.bfloat16
    scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
    assert float(scaler.scale(torch.ones((), device="cuda"))) == 8.0


def test_afterwards_there_is_no_card() -> None:
    before = torch.cuda.is_available()
    with pretended_card():
        assert torch.cuda.is_available()
    assert torch.cuda.is_available() is before
    assert torch.zeros(1).device.type == "cpu"
