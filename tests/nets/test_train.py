import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from archwright import tasks
from archwright.errors import ConfigurationError, EvaluationError
from archwright.nets.checkpoint import TrainState
from archwright.nets.recalibrate import recalibrate
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, fine_tune, in_format, to_format, train

torch.set_num_threads(1)


def small_net(seed=0, dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(32 * 16, 10),
        )


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


def weights(net):
    return torch.cat([v.detach().double().flatten() for v in net.state_dict().values()])


def test_a_small_network_learns_digits(digits):
    net = small_net()
    before = evaluate(net, digits)["accuracy_percent"]
    result = train(net, digits, Recipe(epochs=12))
    after = evaluate(net, digits, "test")
    assert before < 30 and after["accuracy_percent"] > 95
    assert [r["epoch"] for r in result.history] == list(range(1, 13))
    assert result.history[-1]["loss"] < 0.2 * result.history[0]["loss"]
    assert after["accuracy_percent"] + after["error_percent"] == pytest.approx(100)


@pytest.mark.parametrize("recipe", [
    Recipe(epochs=4, optimizer="adamw", ema=0.9, label_smoothing=0.1),
    Recipe(epochs=4, optimizer="sgd", lr=0.1, schedule="bignas", channels_last=False),
])  # fmt: skip
def test_stopping_and_going_on_gives_exactly_the_same_weights(digits, recipe, tmp_path):
    whole = small_net(dropout=0.2)
    straight = train(whole, digits, recipe, seed=3)
    torch.manual_seed(99)  # the surrounding generator must not matter
    parted = small_net(dropout=0.2)
    half = train(parted, digits, recipe, seed=3, epochs=2)
    half.state.save(tmp_path / "half.safetensors")
    fresh = small_net(seed=5, dropout=0.2)
    rest = train(fresh, digits, recipe, seed=3, state=TrainState.load(tmp_path / "half.safetensors"))
    assert torch.equal(weights(whole), weights(fresh))
    assert [r["loss"] for r in rest.history] == [r["loss"] for r in straight.history]


def test_training_is_the_same_for_a_seed_and_leaves_torchs_generator_alone(digits):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    nets = [small_net(dropout=0.3) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        train(net, digits, Recipe(epochs=1), seed=seed)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(weights(nets[0]), weights(nets[1])) and not torch.equal(weights(nets[0]), weights(nets[2]))


def test_a_state_file_holds_tensors_and_text_only(digits, tmp_path):
    path = tmp_path / "state.safetensors"
    train(small_net(), digits, Recipe(epochs=1)).state.save(path)
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["archwright_train_state"])["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(EvaluationError, match="no readable training state"):
        TrainState.load(path)


def test_a_state_of_another_network_is_refused(digits):
    state = train(small_net(), digits, Recipe(epochs=2), epochs=1).state
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(EvaluationError, match="of another network"):
        train(other, digits, Recipe(epochs=2), state=state)


def test_a_nan_loss_stops_the_training_with_epoch_and_step(digits):
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = small_net(), 0

        def forward(self, x):
            self.calls += 1
            return self.inner(x) * (float("nan") if self.calls > 25 else 1.0)

    with pytest.raises(EvaluationError, match=r"nan at epoch 1, step 8.*learning rate"):
        train(Breaks(), digits, Recipe(epochs=3))


def test_a_network_with_the_wrong_head_is_told_so(digits):
    with pytest.raises(EvaluationError, match=r"needs outputs of shape \(batch, 10\)"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), digits, Recipe(epochs=1))
    with pytest.raises(ConfigurationError, match="no trainable parameters"):
        train(nn.Flatten(), digits)


def test_on_epoch_can_stop_and_save(digits):
    seen = []

    def watch(record, state):
        seen.append((record["epoch"], state().epoch))
        return record["epoch"] == 2

    result = train(small_net(), digits, Recipe(epochs=5), on_epoch=watch)
    assert seen == [(1, 1), (2, 2)] and result.state.epoch == 2


def test_modes_and_memory_format_are_put_back(digits):
    net = small_net().eval()
    train(net, digits, Recipe(epochs=1))
    assert not any(m.training for m in net.modules())
    assert all(p.is_contiguous() for p in net.parameters())
    net[1].train()
    evaluate(net, digits)
    assert [m.training for m in net].count(True) == 1


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_channels_last_and_fused_steps_compute_what_plain_ones_do(digits, optimizer):
    x, y = digits.train.x[:64], digits.train.y[:64]
    recipe = Recipe(optimizer=optimizer, lr=0.01)

    def stepped(last, fused):
        net = small_net()
        if last:
            to_format(net, torch.channels_last)
        update = recipe.optimizer_for(net)
        for group in update.param_groups:
            group["fused"] = fused
        for _ in range(3):
            update.zero_grad()
            digits.loss(net(in_format(x, torch.channels_last) if last else x), y).backward()
            for p in net.parameters():
                assert p.grad.stride() == p.stride()
            update.step()
        return weights(net)

    reference = stepped(False, False)
    for last, fused in ((True, True), (True, False), (False, True)):
        assert torch.allclose(stepped(last, fused), reference, atol=2e-3, rtol=0)


def test_schedules_rise_fall_and_end_as_published():
    cosine = [Recipe(lr=1.0, warmup=0.1).rate(i, 100) for i in range(100)]
    assert cosine[0] == pytest.approx(0.1) and max(cosine) == 1.0 and cosine[-1] < 0.01
    tail = [Recipe(lr=1.0, schedule="bignas", warmup=0.0).rate(i, 100) for i in range(100)]
    assert tail[0] == 1.0 and tail[-1] == pytest.approx(0.05) and tail[80] == pytest.approx(0.05)
    assert all(a >= b for a, b in itertools.pairwise(tail))


@pytest.mark.parametrize("change", [{"lr": float("nan")}, {"epochs": 0}, {"optimizer": "lion"}, {"warmup": 2.0}])
def test_an_impossible_recipe_is_refused(change):
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        Recipe(**change)


def test_norms_and_biases_are_not_decayed():
    groups = Recipe(weight_decay=0.3).optimizer_for(small_net()).param_groups
    assert {(g["weight_decay"], min(p.ndim for p in g["params"])) for g in groups} == {(0.3, 2), (0.0, 1)}


def test_fine_tuning_starts_from_the_weights_it_is_given(digits):
    net = small_net()
    train(net, digits, Recipe(epochs=6))
    good = evaluate(net, digits)["cross_entropy_nats"]
    fine_tune(net, digits, Recipe(epochs=6), epochs=2)
    assert evaluate(net, digits)["cross_entropy_nats"] < 1.5 * good


def test_a_regression_beats_the_mean():
    from sklearn.datasets import load_diabetes

    task = tasks.load(load_diabetes(return_X_y=True))
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    train(net, task, Recipe(epochs=20, batch=32))
    assert evaluate(net, task, "test")["r2"] > 0.3


def test_recalibration_gives_the_average_of_the_batch_statistics(digits):
    net = small_net()
    train(net, digits, Recipe(epochs=1))
    with torch.no_grad():
        net[1].running_mean += 3.0
    stale = weights(net)
    batches = list(digits.train.batches(100))
    fresh, report = recalibrate(net, batches, n=5)
    assert torch.equal(weights(net), stale)
    with torch.no_grad():
        values = [net[0](x) for x, _ in batches[:5]]
    by_hand = torch.stack([v.mean(dim=(0, 2, 3)) for v in values]).mean(dim=0)
    variance = torch.stack([v.var(dim=(0, 2, 3)) for v in values]).mean(dim=0)
    assert torch.allclose(fresh[1].running_mean, by_hand, atol=1e-5)
    assert torch.allclose(fresh[1].running_var, variance, rtol=1e-4)
    assert (report.layers, report.batches, report.samples) == (2, 5, 500)
    assert report.max_mean_shift > 1
    assert evaluate(fresh, digits)["accuracy_percent"] > evaluate(net, digits)["accuracy_percent"]
    assert fresh[1].momentum == 0.1


def test_recalibration_without_batch_norms_or_batches(digits):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    _, report = recalibrate(plain, digits.train.batches(10), n=2)
    assert report.layers == 0
    with pytest.raises(EvaluationError, match="at least one batch"):
        recalibrate(small_net(), [], n=2)


def test_several_inputs_travel_as_a_tuple():
    from torch.utils.data import TensorDataset

    left, right = torch.randn(200, 3), torch.randn(200, 3)
    data = TensorDataset(left, right, (left.sum(1) > right.sum(1)).long())

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    task = tasks.load((data, data))
    net = Two()
    train(net, task, Recipe(epochs=20, batch=20, lr=0.03))
    assert evaluate(net, task)["accuracy_percent"] > 90
    assert np.isfinite(recalibrate(net, task.train.batches(20), n=1)[1].max_mean_shift)


def test_mixup_trains_on_mixed_examples_and_is_repeatable(digits):
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small_net()

        def forward(self, x):
            if self.training:
                seen.append(x.detach().clone())
            return self.net(x)

    losses = []
    for alpha in (0.0, 1.0, 1.0):
        losses.append(train(Watched(), digits, Recipe(epochs=1, mixup=alpha, augment=False), seed=0).history)
    steps = len(seen) // 3
    plain, mixed = seen[0], seen[steps]
    sums = plain.flatten(1).sum(1).sort().values
    assert not torch.allclose(sums, mixed.flatten(1).sum(1).sort().values)
    assert mixed.mean() == pytest.approx(float(plain.mean()), rel=1e-4)  # each example is drawn from and mixed in once
    assert all(torch.equal(a, b) for a, b in zip(seen[steps : 2 * steps], seen[2 * steps :], strict=True))
    assert losses[1][-1]["loss"] == losses[2][-1]["loss"] > losses[0][-1]["loss"]
