import json

import numpy as np
import pytest
import torch

from archwright.costs import lut_build
from archwright.costs.lut import Entry, Fit, LatencyTable, TableData, row_key
from archwright.costs.lut_rows import RowRegression, features_of
from archwright.costs.workload import rows_of
from archwright.errors import ConfigurationError
from archwright.measure.operators import COPIES, OperatorTime
from archwright.nets import build
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof, repeat

torch.set_num_threads(1)
SHAPE = (3, 12, 12)


def small_space():
    return Space(
        Sequential(
            (
                Conv(oneof(4, 32), stride=1),
                repeat(
                    MBConv(oneof(8, 24, name="width"), kernel=oneof(3, 5), expand=oneof(2, 4)), times=oneof(0, 1, 2)
                ),
                Classifier(5),
            )
        )
    )


def by_hand(space, cost):
    """A table whose entries are `cost(macs)`, with a known fit."""
    work = rows_of(space, space.enumerate().codes, SHAPE)
    features = features_of(work.rows)
    entries = {
        row_key(leaf, shapes): Entry(kind, cost(macs), 0.0, 50, tuple(row))
        for leaf, shapes, kind, macs, row in zip(
            work.rows.leaves, work.rows.input_shapes, work.rows.kinds, work.rows.counts["macs"], features, strict=True
        )
    }
    return TableData(entries, Fit(scale=0.5, per_operator_ms=0.01, per_call_ms=0.1))


def test_the_latency_is_the_fitted_sum_of_the_entries():
    space = small_space()
    table = LatencyTable(space, SHAPE, data=by_hand(space, lambda macs: macs * 1e-6 + 0.001))
    drawn = space.sample(50, np.random.default_rng(0))
    work = rows_of(space, drawn.codes, SHAPE)
    macs = work.sum(work.rows.counts["macs"])
    operators = (work.index >= 0).sum(axis=1)
    expected = 0.5 * (macs * 1e-6 + 0.001 * operators) + 0.01 * operators + 0.1
    assert table.evaluate(drawn)["latency_ms"] == pytest.approx(expected, rel=1e-9)
    lines = table.explain(drawn[0])
    assert sum(line["latency_ms"] for line in lines) + 0.1 == pytest.approx(expected[0])


def test_expected_latency_of_certain_decisions_is_the_latency():
    space = small_space()
    table = LatencyTable(space, SHAPE, data=by_hand(space, lambda macs: macs * 1e-6))
    arch = space.largest()
    certain = {
        d.path: torch.nn.functional.one_hot(torch.tensor(int(arch.code[d.index])), d.size).double()
        for d in space.decisions
    }
    value = table.evaluate(arch.code[None])["latency_ms"][0]
    assert float(table.expected(certain)["latency_ms"]) == pytest.approx(value)


def test_a_saved_table_says_the_same_and_broken_ones_are_named(tmp_path):
    space = small_space()
    table = LatencyTable(space, SHAPE, data=by_hand(space, lambda macs: macs * 1e-6))
    table.save(tmp_path / "t.json")
    again = LatencyTable.load(tmp_path / "t.json", space, SHAPE)
    drawn = space.sample(20, np.random.default_rng(0))
    assert np.array_equal(again.evaluate(drawn)["latency_ms"], table.evaluate(drawn)["latency_ms"])
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]
    raw = json.loads((tmp_path / "t.json").read_text())
    for bad, message in (
        ("{", "cannot be read"),
        (json.dumps(raw | {"format": 99}), "has format 99"),
        ("[]", "cannot"),
    ):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(ConfigurationError, match=message):
            LatencyTable.load(tmp_path / "bad.json", space, SHAPE)
    with pytest.raises(ConfigurationError, match="archwright latency build"):
        LatencyTable.load(tmp_path / "none.json", space, SHAPE)


@pytest.mark.parametrize("predictor", ["ridge", "lightgbm"])
def test_operators_that_were_not_measured_are_estimated(predictor):
    space = Space(
        Sequential(
            (
                Conv(oneof(*range(4, 36, 4))),
                MBConv(oneof(*range(8, 40, 4)), kernel=oneof(3, 5), expand=oneof(2, 3, 4)),
                Classifier(5),
            )
        )
    )
    work = rows_of(space, space.sample(4000, np.random.default_rng(0)).codes, SHAPE)
    truth = work.rows.counts["macs"] * 1e-6 + work.rows.counts["activation_bytes"] * 1e-7 + 0.002
    kinds, features = np.array(work.rows.kinds, dtype=object), features_of(work.rows)
    known = np.random.default_rng(1).random(len(truth)) < 0.4
    model = RowRegression(tuple(sorted(set(kinds))), predictor)
    guess = model.fit_predict(kinds[known], features[known], truth[known], kinds[~known], features[~known])
    assert np.median(np.abs(guess / truth[~known] - 1)) < 0.1
    assert model.error_percent(kinds[known], features[known], truth[known]) < 15


def test_a_small_built_table_measures_orders_and_reports(tmp_path):
    space = small_space()
    said = []
    table = LatencyTable.build(space, SHAPE, seconds=2, progress=said.append)
    report = table.report
    assert report.measured == len(table.data.entries) >= 8 and report.rows >= report.measured
    assert report.checked >= 20 and len(report.measured_ms) == report.checked
    assert table.data.settings["machine"]["torch"] == torch.__version__ and table.data.settings["threads"] == 1
    assert any("operators" in s for s in said) and any("networks" in s for s in said)
    ends = space.codes([space.smallest(), space.largest()])
    low, high = table.evaluate(ends)["latency_ms"]
    assert 0 < low < high
    assert "unseen networks" in str(report)
    table.save(tmp_path / "t.json")
    assert str(LatencyTable.load(tmp_path / "t.json", space, SHAPE).report) == str(report)


@pytest.mark.parametrize("disturbed", [0, 1])
def test_a_disturbed_build_measures_again_and_takes_the_lower_times(monkeypatch, disturbed):
    space, passes = small_space(), []

    def operators(modules, inputs, **settings):
        slow = 3.0 if passes.count("check") < disturbed else 1.0
        each = [slow * sum(p.numel() for p in m.parameters()) * 1e-4 for m in modules]
        return [OperatorTime(slow, slow + (COPIES - 1) * ms, 0.0, 50) for ms in each]

    def networks(builder, found, purpose):
        passes.append(purpose)
        slow = 2.0 if passes.count("check") <= disturbed and purpose == "check" else 1.0
        return slow * np.array([sum(p.numel() for p in build(a, SHAPE).parameters()) for a in found]) * 1e-4

    monkeypatch.setattr(lut_build, "time_operators", operators)
    monkeypatch.setattr(lut_build.Builder, "_measure_networks", networks)
    table = LatencyTable.build(space, SHAPE, seconds=60, progress=(said := []).append)
    assert passes.count("check") == 1 + disturbed == 1 + sum("measured again" in s for s in said)
    assert table.report.median_error_percent < 1.0


@pytest.mark.slow
def test_a_table_ranks_unseen_networks_of_the_default_space():
    from archwright.spaces.convnet import convnet

    report = LatencyTable.build(convnet((1, 8, 8), 10), (1, 8, 8), seconds=60).report
    assert report.spearman > 0.9 and report.median_error_percent < 15
