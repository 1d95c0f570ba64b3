"""Differentiable recipes as strategies of the main job, on digits, small."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import archwright
from archwright import registry
from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError, RunLogError
from archwright.gradient.mixings.masked import MaskedWeights
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.evolution import Evolution
from archwright.gradient.updates.single_level import SingleLevel
from archwright.job import gradient
from archwright.job.run import resume_job
from archwright.nets.masks import zero_share
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof
from archwright.spaces.darts import darts

SHORT = {"epochs": 2, "finalists": 2}


def elastic() -> Space:
    block = MBConv(oneof(8, 12, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3))
    return Space(Sequential((Conv(oneof(4, 8), stride=2), block, Classifier(10))))


def cells() -> Space:
    return darts((1, 8, 8), 10, channels=4, cells=2, nodes=1)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradient") / "run"
    result = archwright.search(
        elastic(), "digits", strategy="tanglenas", maximize="accuracy_percent", minimize="params_m",
        subject_to="macs_m<=0.012", budget="5 trials", out=str(folder), quiet=True,
        options={"epochs": 8, "finalists": 1},
    )  # fmt: skip
    return folder, result


def test_the_log_holds_an_entry_an_epoch_and_the_network_that_was_found(finished):
    folder, _ = finished
    header, *events = lines(folder)
    assert header["strategy"] == "tanglenas"
    trials = [e for e in events if "trial" in e]
    assert [e["trial"] for e in trials] == [0, 1, 2, 3, 4]
    assert [e.get("fidelity", 1.0) for e in trials] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert {"accuracy_percent", "macs_m", "params_m"} <= set(trials[0]["metrics"])
    assert len(list(folder.rglob("trials.jsonl"))) == 2  # and one of the random search beside it
    assert trials[-1]["code"] in [f["code"] for f in json.loads((folder / "checkpoint/finalists.json").read_text())]


def test_the_limit_holds_and_the_network_is_handed_over(finished):
    folder, result = finished
    assert result.feasible and result.metrics["macs_m"] <= 0.012
    largest = Counts(elastic(), (1, 8, 8)).evaluate(np.asarray(elastic().largest().code)[None])
    assert largest["macs_m"][0] > 0.012  # so the limit forbids something
    assert result.metrics["accuracy_percent"] > 30.0  # chance is 10
    for name in ("report.html", "best/model.py", "best/model.safetensors", "pareto.csv", "manifest.json"):
        assert (folder / name).stat().st_size > 0, name


def test_limits_become_budgets_and_cheap_goals_expected_costs(finished):
    from archwright.job.config import check
    from archwright.job.setup import prepare

    config = check({"strategy": "tanglenas", "subject_to": "macs_m<=0.012", "minimize": "params_m",
                    "maximize": "accuracy_percent"})  # fmt: skip
    setup = prepare(config, space=elastic())
    parts = gradient.method_of(setup, (setup.counts,)).describe()
    assert parts["penalties"] == "DirichletAnchor, ExpectedCost, Budget"
    setup = prepare(config.model_copy(update={"strategy": "spos"}), space=elastic())
    assert gradient.method_of(setup, (setup.counts,)).describe()["penalties"] == "Limit"  # nothing is learned


@pytest.mark.parametrize("name", ["proxylessnas", "tanglenas"])
def test_the_network_that_is_found_keeps_its_latency_as_measured(name, tmp_path, monkeypatch):
    """On a machine where whole networks take longer than the table says, and what is found first is over the limit."""
    from types import SimpleNamespace

    from archwright.costs.lut import Entry, Fit, LatencyTable, TableData, row_key
    from archwright.costs.lut_rows import features_of
    from archwright.costs.workload import rows_of
    from archwright.job.stages import Stages

    layers = tuple(Conv(oneof(8, 64), kernel=oneof(1, 5)) for _ in range(3))
    space = Space(Sequential((*layers, Classifier(10))))
    rows = rows_of(space, space.enumerate().codes, (1, 8, 8)).rows
    entries = {
        row_key(leaf, shapes): Entry(kind, 1e-6 * macs, 0.0, 50, tuple(features))
        for leaf, shapes, kind, macs, features in zip(
            rows.leaves, rows.input_shapes, rows.kinds, rows.counts["macs"], features_of(rows), strict=True
        )
    }
    table = LatencyTable(space, (1, 8, 8), data=TableData(entries, Fit(per_call_ms=0.01)))
    spread = table.evaluate(space.sample(200, np.random.default_rng(0)))["latency_ms"]
    limit = 0.6 * float(spread.max())

    slow = []  # measured latency by that of the table

    def measure(nets, shape):  # stand-ins are the architectures themselves
        by_table = [float(table.evaluate(a.code[None])["latency_ms"][0]) for a in nets]
        slow[:] = slow or [1.5 * limit / by_table[0]]
        return [SimpleNamespace(median_ms=slow[0] * ms) for ms in by_table]

    monkeypatch.setattr(gradient, "build", lambda a, *shapes, seed: SimpleNamespace(to=lambda device: a))
    monkeypatch.setattr(LatencyTable, "build", lambda *a, **k: table)
    monkeypatch.setattr(Stages, "meter", lambda *a: SimpleNamespace(measure=measure))
    seen = {}

    def handed_over(job, problem, result, *rest):
        seen.update(found=result.trials[-1].candidate.architecture, strategy=job.epochs)
        raise _Stopped

    monkeypatch.setattr(Stages, "first_network", lambda job: None)
    monkeypatch.setattr(Stages, "baseline", handed_over)
    with pytest.raises(_Stopped):
        archwright.search(
            space, "digits", strategy=name, maximize="accuracy_percent", subject_to=f"latency_ms<={limit}",
            budget="2 trials", out=str(tmp_path / "run"), quiet=True, options={"strategy_options": {"batch": 128}},
        )  # fmt: skip
    found, plain = (
        float(table.evaluate(a.code[None])["latency_ms"][0])
        for a in (seen["found"], seen["strategy"].search.result(0).architecture)
    )
    assert slow[0] * found <= limit < slow[0] * plain  # it had to be selected again


class _Stopped(Exception):
    pass


def test_a_stopped_job_goes_on_to_the_same_trials(tmp_path, monkeypatch):
    def start(folder):
        return archwright.search(cells(), "digits", strategy="darts", budget="3 trials", out=str(folder), quiet=True,
                                 options={**SHORT, "finalists": 1, "strategy_options": {"batch": 128}})  # fmt: skip

    start(tmp_path / "whole")
    advance, calls = gradient.GradientSearch.advance, []

    def stopping(search):
        if len(calls) == 1:
            raise _Stopped
        calls.append(1)
        return advance(search)

    with monkeypatch.context() as patch, pytest.raises(_Stopped):
        patch.setattr(gradient.GradientSearch, "advance", stopping)
        start(tmp_path / "part")
    resume_job(tmp_path / "part", space=cells(), quiet=True)
    wanted, got = (
        [{k: v for k, v in e.items() if k not in ("seconds", "at_s")} for e in lines(tmp_path / name)]
        for name in ("whole", "part")
    )
    assert got == wanted
    with pytest.raises(RunLogError):
        start(tmp_path / "part")


def test_few_steps_raise_the_rate_of_the_architecture_and_many_do_not():
    method = gradient.recipe("proxylessnas", epochs=4)  # 3 epochs of 8 steps decide
    assert gradient._for_few_steps(method, 1151).architecture.lr == pytest.approx(1 / 24)
    assert gradient._for_few_steps(method.with_(warmup=4), 128).architecture.lr == gradient.LARGEST_RATE
    assert gradient._for_few_steps(gradient.recipe("proxylessnas"), 50_000).architecture.lr == 1e-3


def test_where_time_is_short_measuring_keeps_to_its_share_and_never_vanishes():
    job, method = SimpleNamespace(task=SimpleNamespace(valid=range(2000))), recipe("proxylessnas", batch=64)
    assert gradient._measuring(job, method) == {"measured": 8, "samples": 2000}
    short = gradient._measuring(job, method, 10.0)
    assert short["measured"] < 8 and gradient._batches(method, short) <= 10.0
    assert gradient._measuring(job, method, 0.0) == {"measured": 2, "samples": 128}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in registry.names("recipes") if isinstance(recipe(n).mixing, MaskedWeights)])
def test_every_recipe_under_masks_hands_over_a_sparse_network_beside_random_masks(name, tmp_path, capsys):
    sparsity = 0.7
    options = {"epochs": 2, "finalists": 1, "strategy_options": {"batch": 64, "sparsity": sparsity}}
    result = archwright.search(
        cells(), "digits", strategy=name, budget="3 trials", out=str(tmp_path / "run"), options=options
    )
    assert zero_share(result.network) == pytest.approx(sparsity, abs=0.03)  # of tensors as small as four weights
    said = capsys.readouterr().out
    assert f"at {100 * sparsity:g} % sparsity: accuracy_percent" in said and "random masks: " in said
    kept = json.loads((tmp_path / "run" / "checkpoint" / "finalists_random_masks.json").read_text())
    assert kept["metrics"]["accuracy_percent"] == result.metrics["accuracy_percent"]
    assert {*kept["random_chosen"]} == {*kept["random_first"]} >= {"accuracy_percent"}
    assert kept["line"] in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names("recipes"))
def test_every_recipe_runs_as_the_strategy_of_a_job(name, tmp_path):
    method = registry.get("recipes", name)()
    options = {"train_share": 0.5} if isinstance(method.update, SingleLevel) else {}
    if isinstance(method.selection, Evolution):
        small = method.selection.__class__(population=4, generations=1, parents=2, batches=1)
        options["selection"] = small
    space = darts((1, 8, 8), 10, channels=8, cells=2, nodes=2)
    result = archwright.search(
        space, "digits", strategy=name, budget="3 trials", out=str(tmp_path / "run"), quiet=True,
        options={"epochs": 1, "finalists": 1, "strategy_options": {"batch": 128, **options}},
    )  # fmt: skip
    assert len(result.result.trials) == 3
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strategy": "pc-darts"}, "cells"),
        ({"strategy": "dartz"}, "darts"),
        ({"strategy": "darts", "strategy_options": {"epoch": 3}}, "epochs"),
        ({"strategy": "darts", "latency": "measured", "subject_to": "latency_ms<=1"}, "table"),
    ],
)
def test_what_a_recipe_cannot_do_is_said_before_work_starts(changes, reason, tmp_path):
    strategy = changes.pop("strategy")
    limit = changes.pop("subject_to", ())
    with pytest.raises(ConfigurationError, match=reason):
        archwright.search(
            elastic(), "digits", strategy=strategy, subject_to=limit, out=str(tmp_path / "run"), quiet=True,
            options=changes,
        )  # fmt: skip


def test_the_list_of_strategies_names_the_recipes_with_their_parts(capsys):
    from archwright.listing import print_list

    print_list("strategies")
    shown = capsys.readouterr().out
    for name, entry in registry.entries("recipes").items():
        assert name in shown
        assert {"relaxation", "mixing", "update", "selection"} <= set(entry.labels)
    assert "mixing: partial_channels" in shown
