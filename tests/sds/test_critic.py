"""LoRA copies and the critic that trains one."""

import pytest
import torch
from torch import nn

from sds.critic import VIEW_FEATURES, Critic, CriticSettings, view_features
from sds.denoiser import Condition
from sds.lora import corrections, full_copy, lora_copy, merged_weights
from sds.number_embedding import NumberEmbedding
from tests.sds.toys import ToyTeacher, views


def half(count: int) -> torch.Tensor:
    return torch.full((count,), 0.5, dtype=torch.float64)


def test_a_lora_copy_starts_equal_and_shares_the_frozen_weights():
    teacher = ToyTeacher()
    copied = lora_copy(teacher.network, rank=2)
    x, text = torch.randn(2, 3, 4, 4), torch.zeros(2)
    torch.testing.assert_close(copied(x, half(2), text), teacher.network(x, half(2), text), rtol=0, atol=0)
    frozen = copied.conv_in.get_base_layer()
    assert frozen.weight.data_ptr() == teacher.network.conv_in.weight.data_ptr()
    trainable = {name for name, p in copied.named_parameters() if p.requires_grad}
    assert trainable
    assert all(".lora_A." in name or ".lora_B." in name for name in trainable)
    assert not any("lora" in name for name in teacher.network.state_dict())


def test_a_full_copy_starts_equal_and_shares_nothing():
    teacher = ToyTeacher()
    copied = full_copy(teacher.network)
    x, text = torch.randn(2, 3, 4, 4), torch.zeros(2)
    torch.testing.assert_close(copied(x, half(2), text), teacher.network(x, half(2), text), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in copied.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    assert copied.conv_in.weight.data_ptr() != teacher.network.conv_in.weight.data_ptr()


def test_a_low_rank_copy_is_the_sum_of_its_parts_and_can_be_merged():
    teacher = ToyTeacher()
    copied = lora_copy(teacher.network, rank=2)
    for parameter in copied.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    parts = corrections(copied)
    down, up = parts["conv_in.lora_A.weight"], parts["conv_in.lora_B.weight"]
    assert down.shape == (2, 3, 3, 3)
    assert up.shape == (8, 2, 1, 1)
    merged = merged_weights(copied)
    assert merged.keys() == teacher.network.state_dict().keys()
    expected = teacher.network.conv_in.weight + torch.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
    torch.testing.assert_close(merged["conv_in.weight"], expected)
    plain = full_copy(teacher.network)
    plain.load_state_dict(merged)
    x, text = torch.randn(2, 3, 4, 4), torch.zeros(2)
    torch.testing.assert_close(copied(x, half(2), text), plain(x, half(2), text))
    assert corrections(plain) == {}


def test_corrections_of_half_precision_weights_keep_their_digits():
    network = nn.Sequential(nn.Linear(4, 4).half())
    copied = lora_copy(network, rank=1)
    down, up = corrections(copied).values()
    assert down.dtype == up.dtype == torch.float32
    nn.init.ones_(up)
    nn.init.constant_(down, 1e-4)
    x = torch.ones(1, 4).half()
    assert copied(x).dtype == torch.float16
    torch.testing.assert_close(copied(x), network(x) + torch.full((1, 4), 4e-4).half())


def test_bad_adaptations_are_refused():
    with pytest.raises(ValueError, match="rank"):
        lora_copy(nn.Linear(2, 2), rank=0)
    with pytest.raises(ValueError, match="no linear or convolution"):
        lora_copy(nn.ReLU())


@pytest.mark.parametrize("rank", [4, None])
def test_a_critic_learns_the_generators_image_and_leaves_the_teacher_alone(rank: int | None):
    teacher = ToyTeacher()
    before = {name: p.clone() for name, p in teacher.network.named_parameters()}
    critic = Critic(teacher, CriticSettings(rank=rank, learning_rate=0.03))
    rng = torch.Generator().manual_seed(0)
    x = torch.full((8, 3, 4, 4), 0.7)
    condition = critic.condition(["abc"] * 8, None)
    x_t = torch.randn(8, 3, 4, 4, generator=rng)

    def error() -> float:
        return float((critic(x_t, half(8), condition) - x).square().mean())

    untrained = error()
    for _ in range(200):
        critic.update(x, condition, rng)
    assert error() < 0.05 * untrained
    for name, parameter in teacher.network.named_parameters():
        torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)


def test_a_critic_of_a_teacher_without_views_is_told_the_camera():
    teacher = ToyTeacher(knows_views=False)
    critic = Critic(teacher, CriticSettings(learning_rate=0.03, view_drop=0.0))
    rng = torch.Generator().manual_seed(0)
    condition = critic.condition(["abc"] * 2, views(2))
    x_t, t = torch.zeros(2, 3, 4, 4), half(2)
    torch.testing.assert_close(critic(x_t, t, condition), teacher(x_t, t, condition), rtol=0, atol=0)
    x = torch.stack([torch.full((3, 4, 4), -0.8), torch.full((3, 4, 4), 0.8)])  # each side has its own colour
    for _ in range(300):
        critic.update(x, condition, rng)
    from_each_side = critic(x_t, t, condition).mean((1, 2, 3))
    assert from_each_side[0] < -0.5
    assert from_each_side[1] > 0.5


def test_view_features_by_hand():
    features = view_features(views(1))
    assert features.tolist() == [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]


def test_hidden_views_say_nothing():
    teacher = ToyTeacher()
    critic = Critic(teacher, CriticSettings(view_drop=1.0))
    hidden = critic._some_views_hidden(critic.condition(["a"] * 3, views(3)), torch.Generator())
    assert hidden.tensors[VIEW_FEATURES].abs().max() == 0


def test_a_teacher_that_knows_views_is_not_told_twice():
    critic = Critic(ToyTeacher(knows_views=True))
    assert VIEW_FEATURES not in critic.condition(["a"], views(1)).tensors
    with pytest.raises(ValueError, match="time embedding"):
        NumberEmbedding(nn.Linear(1, 1), 6, "view")


def test_critic_state_continues_exactly():
    def trained(critic: Critic, rng: torch.Generator, updates: int) -> Critic:
        for _ in range(updates):
            critic.update(torch.zeros(2, 3, 4, 4), critic.condition(["a"] * 2, views(2)), rng)
        return critic

    torch.manual_seed(1)
    straight_rng, rng = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    first = Critic(ToyTeacher())
    start = {name: tensor.clone() for name, tensor in first.state_dict()["network"].items()}
    straight = trained(first, straight_rng, 6).state_dict()["network"]

    second = Critic(ToyTeacher())
    second.load_state_dict({**second.state_dict(), "network": start})
    saved = trained(second, rng, 3).state_dict()
    saved["network"] = {name: tensor.clone() for name, tensor in saved["network"].items()}
    third = Critic(ToyTeacher())
    third.load_state_dict(saved)
    resumed = trained(third, rng, 3).state_dict()["network"]
    for name, tensor in straight.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)


def test_a_critic_of_another_teacher_is_refused():
    state = Critic(ToyTeacher(knows_views=True)).state_dict()
    with pytest.raises(ValueError, match="another teacher"):
        Critic(ToyTeacher(knows_views=False)).load_state_dict(state)


def test_conditions_cut_join_and_refuse():
    one = Condition({"a": torch.tensor([[1.0], [2.0]])})
    assert len(one) == 2
    assert Condition.concatenate([one, one[1:]]).tensors["a"].flatten().tolist() == [1, 2, 2]
    between = one.lerp(Condition({"a": torch.tensor([[3.0], [2.0]])}), torch.tensor([0.25, 1.0]))
    assert between.tensors["a"].flatten().tolist() == [1.5, 2.0]
    with pytest.raises(ValueError, match="different denoisers"):
        Condition.concatenate([one, Condition({"b": torch.zeros(2)})])
    with pytest.raises(ValueError, match="one batch size"):
        Condition({"a": torch.zeros(2), "b": torch.zeros(3)})
