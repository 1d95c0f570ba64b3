import itertools

import numpy as np
import pytest

from archwright import registry
from archwright.benchmarks import ec_nas
from archwright.benchmarks import nasbench_graph as nasbench_graph_table
from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.listed import Listed, searched_space
from archwright.benchmarks.nasbench201 import DEVICES
from archwright.benchmarks.table import load
from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError, EvaluationError, SpaceError
from archwright.evaluators.table import TableEvaluator, TableScores
from archwright.nets import build
from archwright.space import Architectures
from archwright.spaces import nasbench101, nasbench201, nasbench_graph

pytestmark = pytest.mark.data

EXTERNAL = [n for n, e in registry.entries("benchmarks").items() if "packaged" not in e.labels]
# benchmark -> (known optimum of what a comparison is scored on, listed codes)
KNOWN = {
    "nasbench201-cifar10": (94.37333, 15625),
    "nasbench201-cifar100": (73.51333, 15625),
    "nasbench201-imagenet16": (47.31111, 15625),
    "nasbench-macro": (93.12667, 6561),
    "bert-glue500": (75.13, 500),
    "ec-nas-4": (94.24746, 423),
    "accel-nasbench": (67.05205, 5138),
    "transnas101-class-scene": (54.79697, 711),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_every_listed_code_is_a_member_and_finds_its_row(name, tables):
    table = load(name)
    codes = table.codes
    assert table.space.is_member(codes).all()
    found = table.rows(codes)
    assert (codes[found] == codes).all()
    first = np.sort(np.unique(codes, axis=0, return_index=True)[1])
    assert (np.sort(np.unique(found)) == first).all()
    assert np.isfinite(table.read(table.goal, found)).any()


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_optima_are_the_published_ones(name, tables):
    best, rows = KNOWN[name]
    assert load(name).best() == pytest.approx(best, abs=1e-4) and len(load(name).codes) == rows


@pytest.mark.parametrize("name", sorted(EXTERNAL))
def test_a_table_answers_through_the_evaluator_what_it_stores(name, tables):
    table = load(name)
    rows = np.unique(table.rows(table.codes))[:50]
    batch = Architectures(table.space, table.codes[rows])
    evaluator = TableEvaluator(table)
    columns = evaluator.evaluate(batch)
    assert set(columns) == set(evaluator.metrics) and all(c.shape == (len(rows),) for c in columns.values())
    metric = table.goal
    assert np.allclose(
        columns[metric], table.observed[metric].values()[rows] * table.observed[metric].scale, equal_nan=True
    )


def test_operators_of_transnas_are_those_that_its_parameters_and_its_dead_cells_show(tables):
    table = load("transnas101-class-scene")
    codes, rows = table.codes, np.arange(len(table.codes))
    assert table.space.size() == 4096 and isinstance(searched_space(table), Listed)
    params = table.free_features(("params_score",))[:, 0]
    ones = np.concatenate([codes == k for k in (1, 2, 3)] + [np.ones((len(codes), 1), bool)], axis=1).astype(float)
    weights = np.linalg.lstsq(ones, params, rcond=None)[0]
    assert np.abs(ones @ weights - params).max() < 1e-9
    skip, small, large = weights[:18].reshape(3, 6)
    assert (large > 8 * small).all() and (small > 3 * skip).all()
    assert (skip[[0, 1, 3]] > 0.1).all() and np.abs(
        skip[[2, 4, 5]]
    ).max() < 1e-9  # edges from the input change the width
    dead = np.array([not reaches(code) for code in codes])
    accuracy = table.read("accuracy_percent", rows)
    assert dead.sum() == 20 and len(np.unique(accuracy[dead])) == 1 and accuracy[dead].max() < accuracy[~dead].min()


def reaches(code):
    """Whether a cell has a path from its input to its output."""
    found = {0}
    for node, source in nasbench201.EDGES:
        if source in found and code[nasbench201.EDGES.index((node, source))] != 0:
            found.add(node)
    return 3 in found


def test_all_strings_of_nasbench201_round_trip(tables):
    codes = load("nasbench201-cifar10").codes
    texts = [nasbench201.to_string(c) for c in codes]
    assert len(set(texts)) == 15625
    assert (np.stack([nasbench201.from_string(t) for t in texts]) == codes).all()
    assert (
        texts[6111] == "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )


def string_of(net):
    """The NAS-Bench-201 string of a built network, read from the modules of its first cell."""

    def word(module):
        kinds = {"Zeros": "none", "Identity": "skip_connect", "AvgPool2d": "avg_pool_3x3"}
        kind = type(module).__name__
        return kinds[kind] if kind in kinds else "nor_conv_{0}x{0}".format(module.conv.kernel_size[0])

    nodes = []
    for node in range(3):
        modules = [
            next(m for name, m in net.layers.items() if name.startswith(f"parts_1_nodes_{node}_edges_{edge}_"))
            for edge in range(node + 1)
        ]
        nodes.append("".join(f"|{word(m)}~{edge}" for edge, m in enumerate(modules)) + "|")
    return "+".join(nodes)


@pytest.mark.slow
def test_every_member_of_nasbench201_builds_as_its_string_says(tables):
    table = load("nasbench201-cifar10")
    space = nasbench201.nasbench201((3, 8, 8), 10, channels=(2, 2), cells=1)
    for row, architecture in enumerate(space.architectures(table.codes)):
        assert string_of(build(architecture, (3, 8, 8))) == nasbench201.to_string(table.codes[row]), row
    published = load("nasbench201-cifar10").space
    for row in np.random.default_rng(0).choice(len(table.codes), 100, replace=False).tolist():
        net = build(published.architectures(table.codes[row : row + 1])[0], (3, 32, 32))
        parameters = sum(p.numel() for p in net.parameters())
        assert parameters == round(float(table.read("params_m", np.array([row]))[0]) * 1e6), row


@pytest.mark.parametrize("text", ["|none~0|", "|none~0|+|none~0|none~1|+|none~0|none~1|nun~2|"])
def test_what_is_no_string_of_nasbench201_is_refused(text):
    with pytest.raises(SpaceError, match="none"):
        nasbench201.from_string(text)


@pytest.mark.parametrize(
    ("name", "shape", "biases"),
    [
        ("nasbench201-cifar10", (3, 32, 32), 10),
        ("nasbench201-cifar100", (3, 32, 32), 100),
        ("nasbench201-imagenet16", (3, 16, 16), 120),
        ("nasbench-macro", (3, 32, 32), 0),
    ],
)
def test_counts_of_the_space_equal_the_table_on_every_row(name, shape, biases, tables):
    table = load(name)
    rows = np.arange(len(table.codes))
    counted = Counts(table.space, shape).evaluate(Architectures(table.space, table.codes))
    assert (np.round(counted["params_m"] * 1e6) == np.round(table.read("params_m", rows) * 1e6)).all()
    # NAS-Bench-201 counts the additions of the classifier's bias as multiply-accumulates
    assert (np.round(counted["macs_m"] * 1e6) + biases == np.round(table.read("macs_m", rows) * 1e6)).all()


def test_sizes_of_graph_cells_equal_the_table_and_codes_give_its_graphs_back(tables):
    table = load("ec-nas-4")
    rows = np.arange(len(table.codes))
    counted = Counts(table.space, (3, 32, 32)).evaluate(Architectures(table.space, table.codes))
    assert (np.round(counted["params_m"] * 1e6) == np.round(table.read("params_m", rows) * 1e6)).all()
    assert table.is_complete and len(np.unique(nasbench101.normal_codes(table.codes, 4), axis=0)) == 91
    stored = open_columns(ec_nas.FOUR)
    codes = ec_nas.codes_of_graphs(stored)
    for code, adjacency, operators, count in zip(
        codes, stored["adj"], stored["ops"], stored["n_vertices"], strict=True
    ):
        published = nasbench101.to_graph(code, 4)
        assert published["module_adjacency"] == adjacency[:count, :count].tolist()
        names = [nasbench101.OPERATORS[k - 1] for k in operators[1 : count - 1]]
        assert published["module_operations"][1:-1] == names


@pytest.mark.parametrize("scale", ["s", "m", "l"])
def test_sizes_of_decoders_equal_the_table(scale, tables):
    table = load(f"hwgpt-{scale}")
    rows = np.random.default_rng(0).choice(len(table.codes), 300, replace=False)
    counted = Counts(table.space, (64,)).evaluate(Architectures(table.space, table.codes[rows]))
    assert (np.round(counted["params_m"] * 1e6) == np.round(table.read("params_m", rows) * 1e6)).all()


def test_sizes_of_encoders_equal_the_table_at_the_sizes_it_was_counted_with(tables):
    table = load("bert-glue500")
    codes = np.array(table.codes)
    for d in table.space.decisions:
        if d.label == "hidden" or d.label.endswith("ffn.hidden"):  # the table's counts are those of 256 and 1024
            codes[codes[:, d.index] >= 0, d.index] = d.options.index(256 if d.label == "hidden" else 1024)
    counted = Counts(table.space, (128,)).evaluate(Architectures(table.space, codes))
    head = 256 * 256 + 256 + 2 * 256 + 2
    encoder = np.round(counted["params_m"] * 1e6) - head
    assert (encoder == np.round(table.read("params_m", np.arange(500)) * 1e6)).all()


@pytest.mark.parametrize("name", nasbench_graph.PUBLISHED)
def test_sizes_of_graph_networks_equal_the_table_and_its_keys_come_back(name, tables):
    table, published = load(f"nasbench-graph-{name}"), nasbench_graph.PUBLISHED[name]
    stored = open_columns(nasbench_graph_table.FILE)[f"{name}_key"]
    trained, skip = nasbench_graph.from_keys(stored, published.operators), published.operators.index("skip")
    assert (nasbench_graph.to_keys(trained, published.operators) == stored).all()
    networks = nasbench_graph.network_keys(table.codes, skip)
    one = nasbench_graph.network_keys(trained, skip)
    assert set(networks.tolist()) == set(one.tolist()) and len(set(one.tolist())) == len(stored)
    assert len(table.codes) == (4576 if name == "proteins" else 53056)
    at = dict(zip(one.tolist(), range(len(stored)), strict=True))
    accuracy = open_columns(nasbench_graph_table.FILE)[f"{name}_valid_perf"][[at[key] for key in networks.tolist()]]
    assert (table.observed["accuracy_percent"].values() == accuracy).all()
    counted = Counts(table.space, (4, published.features + 4)).evaluate(Architectures(table.space, trained))
    params = np.round(counted["params_m"] * 1e6).astype(np.int64)
    released = nasbench_graph.released_params(params, trained, name)
    assert (released == np.round(table.read("params_m", table.rows(trained)) * 1e6)).all()


def test_a_query_is_one_training_and_the_truth_a_mean(tables):
    table = load("nasbench201-cifar100")
    rows = np.arange(2000)
    noisy, mean = table.read("accuracy_percent", rows), table.read("accuracy_percent", rows, true=True)
    assert 0.1 < np.std(noisy - mean) < 3.0
    batch = Architectures(table.space, table.codes[rows])
    assert (TableEvaluator(table, noisy=False).evaluate(batch)["accuracy_percent"] == mean).all()


def test_short_trainings_cost_less_and_answer_the_twelve_epoch_table(tables):
    table = load("nasbench201-cifar10")
    batch = Architectures(table.space, table.codes[:100])
    evaluator = TableEvaluator(table, ("accuracy_percent",))
    short, long = evaluator.evaluate(batch, fidelity=0.1), evaluator.evaluate(batch)
    assert np.allclose(long["simulated_s"], short["simulated_s"] * 200 / 12)
    assert 12 * 3 < short["simulated_s"].mean() < 12 * 60  # some seconds an epoch on a GPU
    assert (short["accuracy_percent"] < long["accuracy_percent"]).mean() > 0.95
    with pytest.raises(ConfigurationError, match=r"0\.06"):
        evaluator.evaluate(batch, fidelity=0.01)


def test_every_device_of_nasbench201_has_latencies(tables):
    table = load("nasbench201-cifar10")
    assert len(DEVICES) == 19 and sum(m.endswith("latency_ms") for m in table.metrics) == 22
    rows = np.arange(15625)
    latency = table.read("gold_6240_latency_ms", rows)
    assert np.corrcoef(latency, table.read("macs_m", rows))[0, 1] > 0.5
    assert (table.read("pi5_onnx_energy_mj", rows) > 0).all()


def test_what_the_table_does_not_list_is_said_or_left_open(tables):
    table = load("fbnet-latency")
    other = table.space.sample(3, np.random.default_rng(0))
    with pytest.raises(EvaluationError, match="5000"):
        TableEvaluator(table).evaluate(other)
    assert np.isnan(TableEvaluator(table, missing="nan").evaluate(other)["pixel3_latency_ms"]).all()
    with pytest.raises(ConfigurationError, match="its own space"):
        TableEvaluator("nasbench-macro").evaluate(other)


def test_zero_cost_scores_are_a_cheap_evaluator(tables):
    scores = TableScores("nasbench201-cifar10")
    table = scores.benchmark
    columns = scores.evaluate(Architectures(table.space, table.codes))
    truth = table.read("accuracy_percent", np.arange(15625), true=True)
    from scipy.stats import spearmanr

    assert scores.cheap and spearmanr(columns["logsynflow_score"], truth)[0] == pytest.approx(0.826, abs=0.001)
    with pytest.raises(ConfigurationError, match="no zero-cost scores"):
        TableScores("nasbench-macro")


@pytest.mark.parametrize("name", ["nasbench201-cifar10", "nasbench-macro", "fbnet-latency", "accel-nasbench"])
def test_members_of_a_table_build_and_run(name, tables):
    import torch

    from archwright.nets.build import build

    table = load(name)
    shape = (3, 32, 32) if "nasbench2" in name or "macro" in name else (3, 64, 64)
    net = build(table.space.architectures(table.codes[7:8])[0], shape).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, *shape)).shape == (2, 10 if shape[1] == 32 else 1000)


def test_energy_of_longer_training_is_larger(tables):
    table = load("ec-nas-4")
    rows = np.arange(len(table.codes))
    energies = [table.read("training_energy_kwh", rows, fidelity=f) for f in (4 / 108, 12 / 108, 36 / 108, 1.0)]
    assert all((a < b).mean() > 0.99 for a, b in itertools.pairwise(energies))
    equal = table.read("accuracy_percent", table.rows(table.codes[[0, 0]]))
    assert equal[0] == equal[1]
