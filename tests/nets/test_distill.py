import pytest
import torch
from torch import nn

from archwright import tasks
from archwright.errors import ConfigurationError
from archwright.nets.distill import distill
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.tasks.base import Classification


def small_net(seed, hidden):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 12))
    return nn.Sequential(body, nn.Linear(12, 10))


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


@pytest.fixture(scope="module")
def teacher(digits):
    net = small_net(0, 64)
    train(net, digits, Recipe(epochs=12))
    return net


def agreement(net, teacher, task):
    """Share of the test examples that both put into one class."""
    x = torch.cat([x for x, _ in task.test.batches(64)])
    with torch.no_grad():
        return float((net.eval()(x).argmax(1) == teacher.eval()(x).argmax(1)).float().mean())


def test_a_student_without_labels_learns_what_the_teacher_knows(digits, teacher, monkeypatch):
    monkeypatch.setattr(Classification, "loss", lambda *a, **k: pytest.fail("the labels were read"))
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    teacher.train()
    net = small_net(1, 32)
    result = distill(net, teacher, digits, Recipe(epochs=12))
    assert teacher.training and all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert agreement(net, teacher, digits) > 0.9 and len(result.history) == 12
    assert evaluate(net, digits, "test")["accuracy_percent"] > 85


def test_features_come_closer_when_they_are_asked_to(digits, teacher):
    x = next(iter(digits.test.batches(256)))[0]
    distances = []
    for features in ("", "0"):
        net = small_net(1, 16)
        distill(net, teacher, digits, Recipe(epochs=3), features=features)
        with torch.no_grad():
            distances.append(float((net.eval()[0](x) - teacher.eval()[0](x)).square().mean()))
    assert distances[1] < 0.5 * distances[0]
    assert not teacher[0]._forward_hooks and not net[0]._forward_hooks


def test_with_all_labels_it_is_plain_training(digits, teacher):
    one, other = small_net(2, 8), small_net(2, 8)
    distill(one, teacher, digits, Recipe(epochs=1), labels=1.0, seed=3)
    train(other, digits, Recipe(epochs=1), seed=3)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_mistakes_are_named(digits, teacher):
    with pytest.raises(ConfigurationError, match="share of the true targets"):
        distill(small_net(1, 8), teacher, digits, labels=2.0)
    with pytest.raises(ConfigurationError, match=r"no module .0\.44"):
        distill(small_net(1, 8), teacher, digits, features="0.44")
