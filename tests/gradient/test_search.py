"""The loop: exact resume, and the faults of published code that must not happen."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import archwright.gradient as package
from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError, EvaluationError
from archwright.gradient import GradientSearch
from archwright.gradient.core import key, unkey
from archwright.gradient.penalties.cost import ExpectedCost
from archwright.gradient.penalties.self_distillation import SelfDistillation
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.uniform import Uniform
from archwright.nets.checkpoint import TrainState
from archwright.search.log import LoggedTrial, read_log

QUICK = {"epochs": 3, "batch": 16}


def everything(search):
    return {k: v.clone() for k, v in search.core.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("darts", {}),
        ("gdas", {}),
        ("drnas", {"warmup": 1}),
        ("rarts", {}),
        ("sd-darts", {"penalties": (SelfDistillation(2),)}),
        ("proxylessnas-r", {"warmup": 0}),
    ],
)
def test_a_stopped_search_goes_on_exactly(name, changes, cells, task, tmp_path):
    def method():
        fresh = {k: (SelfDistillation(2),) if k == "penalties" else v for k, v in changes.items()}
        return recipe(name, **QUICK, **fresh)

    whole = GradientSearch(cells, task, method(), seed=3)
    whole.run(random=0)
    GradientSearch(cells, task, method(), seed=3, folder=tmp_path).run(epochs=1, random=0)
    second = GradientSearch(cells, task, method(), seed=3, folder=tmp_path)
    assert second.epoch == 1
    second.run(random=0)
    wanted = everything(whole)
    for k, v in everything(second).items():
        assert torch.equal(v, wanted[k]), k
    assert [r["train_loss"] for r in second.history] == [r["train_loss"] for r in whole.history]
    assert second.best["code"] == whole.best["code"]


def test_the_log_has_one_entry_an_epoch_also_after_a_stop(cells, task, tmp_path):
    GradientSearch(cells, task, recipe("gdas", **QUICK), folder=tmp_path).run(epochs=2, random=0)
    (tmp_path / "search.safetensors").unlink()  # a kill before the checkpoint of the second epoch
    GradientSearch(cells, task, recipe("gdas", **QUICK), folder=tmp_path).run(random=0)
    trials = [e for e in read_log(tmp_path / "trials.jsonl").events if isinstance(e, LoggedTrial)]
    assert [t.number for t in trials] == [0, 1, 2]
    assert all(cells.is_member(np.array([t.code]))[0] for t in trials)
    assert [t.fidelity for t in trials] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_state_of_another_search_is_refused(cells, task):
    one = GradientSearch(cells, task, recipe("darts", **QUICK), seed=0)
    other = GradientSearch(cells, task, recipe("gdas", **QUICK), seed=0)
    with pytest.raises(EvaluationError, match="method"):
        other.restore(one.state())


def test_the_validation_stream_is_not_restarted_every_step(cells, task):
    search = GradientSearch(cells, task, recipe("darts", **QUICK))
    seen = [valid[0] for _, valid in itertools.islice(search.data.batches(0), 2)]
    assert not torch.equal(seen[0], seen[1])
    again = [valid[0] for _, valid in itertools.islice(search.data.batches(1), 2)]
    assert not torch.equal(seen[0], again[0])


def test_the_two_parts_of_the_data_share_no_example(cells, task):
    for split in ("half", "fresh"):
        search = GradientSearch(cells, task, recipe("darts", **QUICK, split=split))
        first, second = search.data.parts(1)
        rows = {x.numpy().tobytes() for x in first.x}
        assert not rows & {x.numpy().tobytes() for x in second.x}
    changed = GradientSearch(cells, task, recipe("darts", **QUICK, split="fresh")).data
    assert not torch.equal(changed.parts(0)[0].x, changed.parts(1)[0].x)


def test_architecture_parameters_are_saved_and_belong_to_the_final_network(cells, task, tmp_path):
    search = GradientSearch(cells, task, recipe("darts", **QUICK, keep="last"), folder=tmp_path)
    result = search.run(random=0)
    saved = TrainState.load(tmp_path / "search.safetensors").part("core")
    assert {k for k in saved if k.startswith("alphas.")} == {
        f"alphas.{key(d.path)}" for d in search.core.inner.decisions
    }
    x = torch.randn(4, *task.input_shape)
    net = result.network().eval()
    search.core.eval()
    torch.testing.assert_close(net(x), search.core.outputs(x, search.core.one_hot(result.architecture.code.tolist())))


def test_the_best_is_kept_not_the_last(cells, task, monkeypatch):
    search = GradientSearch(cells, task, recipe("darts", **QUICK))
    scores = iter([50.0, 90.0, 10.0])
    codes = iter(cells.sample(3, np.random.default_rng(0)))
    chosen = []

    def choose(self, _):
        chosen.append(next(codes, chosen[-1] if chosen else None))
        return chosen[-1]

    monkeypatch.setattr(type(search.method.selection), "choose", choose)
    monkeypatch.setattr(GradientSearch, "inherited", lambda *a: {"loss": 1.0, "accuracy_percent": 99.0})
    measured = {"loss": 1.0}
    monkeypatch.setattr(GradientSearch, "mixture_measure", lambda *a: measured | {"accuracy_percent": next(scores)})
    result = search.run(random=0)
    assert result.best_epoch == 2
    assert result.architecture == chosen[1] and result.last == chosen[2]


def test_no_file_names_a_device():
    for path in Path(package.__file__).parent.rglob("*.py"):
        assert not re.search(r"\.cuda\(|[\"']cuda", path.read_text()), path


def test_a_penalty_without_gradient_is_refused(cells, task):
    cost = Counts(cells, task.input_shape)
    with pytest.raises(ConfigurationError, match="no gradient"):
        recipe("spos", penalties=(ExpectedCost(cost, "macs_m"),))
    assert not Uniform.learned


def test_a_penalty_moves_the_architecture_parameters(cells, task):
    cost = Counts(cells, task.input_shape)
    search = GradientSearch(cells, task, recipe("darts", **QUICK, penalties=(ExpectedCost(cost, "macs_m"),)))
    penalty = search.method.penalties[0]
    train, _ = next(iter(search.data.batches(0)))
    search.stepper.evaluate(train, "architecture", penalised=False).backward()
    plain = [p.grad.clone() for p in search.core.alphas.values()]
    search.stepper.zero_architecture()
    search.stepper.evaluate(train, "architecture").backward()
    assert any(not torch.equal(a, p.grad) for a, p in zip(plain, search.core.alphas.values(), strict=True))
    assert penalty.metric == "macs_m"


def test_weights_steps_leave_the_architecture_alone_and_the_other_way_round(cells, task):
    search = GradientSearch(cells, task, recipe("darts", **QUICK))
    train, valid = next(iter(search.data.batches(0)))
    before = everything(search)
    search.stepper.architecture_step(valid)
    middle = everything(search)
    search.stepper.weights_step(train)
    after = everything(search)
    parameters = [n for n, _ in search.core.named_parameters()]
    alphas = [n for n in parameters if n.startswith("alphas.")]
    weights = [n for n in parameters if not n.startswith("alphas.")]
    assert all(torch.equal(before[n], middle[n]) for n in weights)
    assert any(not torch.equal(before[n], middle[n]) for n in alphas)
    assert all(torch.equal(middle[n], after[n]) for n in alphas)
    assert any(not torch.equal(middle[n], after[n]) for n in weights)


def test_the_record_reports_collapse_entropy_and_gap(cells, task):
    result = GradientSearch(cells, task, recipe("darts", **QUICK)).run(random=3)
    record = result.history[-1]
    assert 0.0 < record["entropy"] <= 1.0 + 1e-6
    assert 0.0 <= record["skip_share"] <= 1.0 and record["collapsed"] == (record["skip_share"] > 0.5)
    assert record["discretisation_gap"] is not None
    assert result.random["count"] == 3 and result.random["best"] >= result.random["mean"]


def test_single_stage_search_ends_without_a_gap_and_darts_has_one(cells, task):
    single = GradientSearch(cells, task, recipe("single-stage", **QUICK)).run(random=0)
    assert single.history[0]["discretisation_gap"] != 0.0  # paths are still drawn
    assert single.history[-1]["discretisation_gap"] == 0.0
    softmax = GradientSearch(cells, task, recipe("darts", **QUICK)).run(random=0)
    assert softmax.history[-1]["discretisation_gap"] != 0.0


def test_measuring_leaves_running_statistics_alone(cells, task):
    search = GradientSearch(cells, task, recipe("darts", **QUICK))
    before = everything(search)
    search.mixture_measure(1)
    search.inherited(cells.smallest(), 1)
    for k, v in everything(search).items():
        assert torch.equal(v, before[k]), k


def test_a_loss_that_is_not_finite_stops_with_the_reason(cells, task):
    method = recipe("darts", **QUICK)
    search = GradientSearch(cells, task, method)
    with torch.no_grad():
        next(iter(search.core.supernet.parameters())).fill_(float("nan"))
    with pytest.raises(EvaluationError, match="lower the learning rate"):
        search.run(random=0)


def test_too_large_batches_are_refused(cells, task):
    with pytest.raises(ConfigurationError, match="fewer than a batch"):
        GradientSearch(cells, task, recipe("darts", batch=10_000))


def test_paths_survive_as_parameter_names():
    for path in ("parts.2.times", "normal.2.0", "edges:a.b|c/d", "x%2Ey"):
        assert unkey(key(path)) == path and "." not in key(path)


def test_entangled_and_elastic_spaces_are_searched(mlp, features):
    result = GradientSearch(mlp, features, recipe("tanglenas", epochs=2, batch=16)).run(random=2)
    assert mlp.is_member(result.architecture.code[None])[0]


@pytest.mark.parametrize("name", ["darts", "pc-darts", "gdas", "proxylessnas", "tanglenas", "bignas"])
def test_bfloat16_autocast_gives_nearly_the_losses_of_float32(name, cells, convs, task):
    space = convs if name == "tanglenas" else cells

    def two_steps(autocast):
        method = recipe(name, **QUICK, autocast=autocast, warmup=0)
        search, losses = GradientSearch(space, task, method, seed=2), []
        for i, (train, valid) in enumerate(itertools.islice(search.data.batches(0), 2)):
            search._set_step(i)
            losses.append(float(search.method.update.step(search.stepper, train, valid, i)))
        assert all(p.dtype == torch.float32 for p in search.core.parameters())
        return losses

    plain, low = two_steps(False), two_steps(True)
    assert np.isfinite(low).all() and low != plain  # rounding shows that bfloat16 was in use
    assert low == pytest.approx(plain, rel=0.05)
