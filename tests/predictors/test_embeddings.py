"""Embeddings: what makes rows equal, near, and of use to a predictor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from archwright import registry
from archwright.benchmarks.table import load
from archwright.data import data_root
from archwright.errors import ConfigurationError
from archwright.predictors.embeddings.graph_edit import GraphEdit, distance_of, edit_distance
from archwright.predictors.embeddings.onnx_graph import OnnxGraph, OnnxNode, canonical, onnx_graph
from archwright.predictors.embeddings.onnx_text import SUMS, OnnxText, alive, sums_of
from archwright.predictors.embeddings.op_graph import OpGraph, graphs_of
from archwright.predictors.embeddings.paths import Paths, paths_of
from archwright.predictors.embeddings.transfer import Transfer
from archwright.predictors.embeddings.vsa import VSA, GaussianRoles, OrthogonalRoles
from archwright.predictors.gp import GaussianProcess
from archwright.space.codec import encode_tree
from archwright.spaces.mlp import mlp
from archwright.spaces.nasbench201 import from_string, nasbench201

SHAPE = (3, 8, 8)
SMALL = nasbench201(SHAPE, 10, channels=(4,), cells=1)
NAMES = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cells(*edges: str):
    texts = []
    for e in edges:
        a, b, c, d, f, g = (NAMES[k] for k in e)
        texts.append(from_string(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{f}~1|{g}~2|"))
    return SMALL.architectures(np.stack(texts))


def made(name: str):
    cls = registry.get("embeddings", name)
    if name in ("paths", "graph_edit"):
        return cls(SMALL)
    return cls(SHAPE) if name == "onnx_text" else cls()


@pytest.mark.parametrize("name", registry.names("embeddings"))
def test_embedding_gives_finite_float32_rows_that_repeat_and_do_not_depend_on_the_batch(name):
    some = SMALL.sample(6, np.random.default_rng(0))
    embedding = made(name)
    rows = embedding.embed(some)
    assert rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == 6 and np.isfinite(rows).all()
    assert np.allclose(embedding.embed(some[2:4]), rows[2:4], atol=1e-6)
    assert np.allclose(made(name).embed(some), rows, atol=1e-5)
    assert embedding.embed(some[:0]).shape == (0, rows.shape[1])


@pytest.mark.parametrize("name", ["one_hot", "paths", "vsa"])
def test_embedding_serves_a_predictor_as_further_columns(name):
    rng = np.random.default_rng(1)
    train, rest = SMALL.sample(60, rng), SMALL.sample(60, rng)

    def value(some):
        return ((some.codes == 3).sum(axis=1) - (some.codes == 0).sum(axis=1)).astype(np.float64)

    model = GaussianProcess(SMALL, extra=made(name).embed, structural=False).fit(train, value(train))
    assert spearmanr(model.predict(rest)[0], value(rest))[0] > 0.8


def test_one_hot_has_a_one_for_each_active_decision():
    rows = made("one_hot").embed(SMALL.sample(20, np.random.default_rng(0)))
    assert rows.shape == (20, 30) and (rows.sum(axis=1) == 6).all()


def test_paths_of_a_cell_are_those_counted_by_hand():
    found = paths_of(cells("3s0p1s")[0])
    # node 1 = conv3(x); node 2 = x; node 3 = pool(x) + conv1(node 1) + node 2
    conv3, conv1, pool = "SameConv()", "SameConv(kernel=1)", "AvgPool()"
    assert found == {f"0:input0>{conv3}>{conv1}": 1, f"0:input0>{pool}": 1, "0:input0": 1}


def test_paths_of_mirrored_and_dead_cells_are_equal():
    rows = Paths(SMALL).embed(cells("3000s0", "03000s", "3p00s0", "1000s0"))
    assert (rows[0] == rows[1]).all() and (rows[0] == rows[2]).all() and (rows[0] != rows[3]).any()


def test_edit_distance_is_zero_for_equal_graphs_and_counts_single_changes():
    a = OpGraph(("input0", "A", "B"), ((0, 1), (1, 2)), (2,))
    label = OpGraph(("input0", "A", "C"), ((0, 1), (1, 2)), (2,))
    edge = OpGraph(("input0", "A", "B"), ((0, 1), (1, 2), (0, 2)), (2,))
    assert edit_distance(a, a) == 0.0
    assert edit_distance(a, label) == 1.0
    assert edit_distance(a, edge) == edit_distance(edge, a) == 1.0
    assert edit_distance(a, OpGraph((), (), ())) == 5.0


def test_scaled_coordinates_keep_the_order_of_edit_distances():
    rng = np.random.default_rng(3)
    a, b = SMALL.sample(80, rng), SMALL.sample(80, rng)
    embedding = GraphEdit(SMALL)
    near = np.linalg.norm(embedding.embed(a) - embedding.embed(b), axis=1)
    true = [distance_of(graphs_of(x), graphs_of(y)) for x, y in zip(a, b, strict=True)]
    assert spearmanr(near, true)[0] > 0.75


def test_graph_of_a_network_without_cells_is_the_whole_network():
    graph = graphs_of(mlp((6,), 2).smallest())[0]
    assert graph.labels[0] == "input0" and len(graph.labels) >= 3 and len(graph.edges) >= 2


def test_orthogonal_roles_keep_norms_over_twenty_nestings_and_gaussian_ones_do_not():
    vector = np.random.default_rng(0).standard_normal(2048)
    vector /= np.linalg.norm(vector)
    drift = {}
    for roles in (OrthogonalRoles(2048), GaussianRoles(2048)):
        bound = vector
        for depth in range(20):
            bound = roles.bind(f"role {depth % 2}", bound)
        drift[type(roles).__name__] = abs(np.linalg.norm(bound) - 1.0)
    assert drift["OrthogonalRoles"] < 1e-4 < drift["GaussianRoles"]


def test_roles_do_not_commute_and_order_and_place_matter():
    vsa = VSA(512)
    assert abs(vsa.encode({"a": {"b": 1}}) @ vsa.encode({"b": {"a": 1}})) < 0.2
    assert vsa.encode([1, 2]) @ vsa.encode([2, 1]) < 0.2
    assert vsa.encode({"a": 1, "b": 2}) @ vsa.encode({"a": 1, "b": 3}) == pytest.approx(0.5, abs=0.15)
    assert np.linalg.norm(vsa.encode({"a": [1, {"c": [2, 3]}]})) == pytest.approx(1.0, abs=1e-9)


def test_vector_of_a_tree_is_that_of_its_json():
    architecture = SMALL.sample(1, np.random.default_rng(0))[0]
    vsa = VSA(256)
    assert np.allclose(vsa.of_tree(architecture.tree), vsa.encode(encode_tree(architecture.tree)), atol=1e-12)


def test_similarity_of_symbolic_vectors_follows_the_edit_distance_of_cells():
    rng = np.random.default_rng(0)
    a, b = SMALL.sample(500, rng), SMALL.sample(500, rng)
    vsa = VSA(2048)
    cosine = (vsa.embed(a) * vsa.embed(b)).sum(axis=1)
    assert spearmanr(cosine, -(a.codes != b.codes).sum(axis=1))[0] >= 0.5


def test_onnx_text_is_equal_for_mirrored_cells_and_different_for_others():
    mirrored = cells("310s1s", "130ss1", "3000s0", "03000s", "1000s0")
    texts = [OnnxText(SHAPE).text(a) for a in mirrored]
    assert len(set(texts)) >= 4
    assert "Conv dilations=1,1 group=1 kernel_shape=3,3" in texts[0]


SPACES = {
    "images": (3, 16, 16),
    "series": (2, 16),
    "tables": (7,),
    "tokens": (16,),
    "graphs": (6, 13),
    "forecasts": (5, 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names("spaces"))
def test_members_of_every_space_have_a_text_that_tells_them_apart(name):
    labels = registry.entries("spaces")[name].labels
    shape = SPACES[labels["inputs"].split(", ")[0]]
    space = registry.get("spaces", name)(shape, 5, **labels.get("small", {}))
    small, large = space.smallest(), space.largest()
    texts = [onnx_graph(a, shape).text for a in (small, large, large)]
    assert texts[0] != texts[1] == texts[2] and texts[0].count("\n") > 1


def test_onnx_text_does_not_depend_on_the_order_of_nodes():
    graph = onnx_graph(cells("31p1ps")[0], SHAPE)
    rng = np.random.default_rng(0)
    for _ in range(5):
        waiting, order = set(range(len(graph.nodes))), []
        while waiting:  # a random order in which each node follows what it reads
            ready = [i for i in waiting if all(j < 0 or j in order for j in graph.nodes[i].inputs)]
            order.append(int(rng.choice(ready)))
            waiting.remove(order[-1])
        place = {old: new for new, old in enumerate(order)}
        nodes = tuple(
            OnnxNode(n.operator, n.text, tuple(place.get(j, j) for j in n.inputs), n.weights, n.shape)
            for n in (graph.nodes[i] for i in order)
        )
        shuffled = OnnxGraph(nodes, tuple(place[o] for o in graph.outputs))
        assert canonical(shuffled).text == graph.text


def test_onnx_sums_pass_over_what_only_sees_zeros():
    live, bypassed = (onnx_graph(a, SHAPE) for a in cells("300s30", "000s30"))  # the last convolution reads zeros
    convolutions = [
        sum(n.operator == "Conv" and on for n, on in zip(g.nodes, alive(g), strict=True)) for g in (live, bypassed)
    ]
    assert convolutions == [3, 1]  # the stem's is always there
    ways = [sums_of(g)[SUMS.index("ways")] for g in (live, bypassed)]
    assert ways == pytest.approx([np.log(2.0), 0.0])


def test_a_predictor_of_one_space_ranks_another():
    rng = np.random.default_rng(0)
    narrow, wide = (nasbench201(SHAPE, 10, channels=(c,), cells=1) for c in (4, 8))

    def value(some):
        return ((some.codes == 3).sum(axis=1) + 0.5 * (some.codes == 2).sum(axis=1)).astype(np.float64)

    source, target = narrow.sample(40, rng), wide.sample(40, rng)
    transfer = Transfer(OnnxText(SHAPE), target)
    with pytest.raises(ConfigurationError, match="nothing was learned"):
        transfer.predict(target)
    transfer.learn_source(source, value(source))
    zero_shot = spearmanr(transfer.predict(target), value(target))[0]
    transfer.fit(target[:20], value(target)[:20])
    assert zero_shot > 0.4 and spearmanr(transfer.predict(target[20:]), value(target)[20:])[0] > 0.4
    with pytest.raises(ConfigurationError, match="at least two"):
        Transfer(OnnxText(SHAPE), target[:1])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(data_root() is None, reason="needs the tables of ARCHWRIGHT_DATA")
def test_nasbench201_scores_macro_networks_without_and_with_fifty_labels():
    rng = np.random.default_rng(0)
    parts = []
    for name in ("nasbench201-cifar10", "nasbench-macro"):
        table = load(name)
        rows = rng.choice(len(table.codes), 100, replace=False)
        parts.append((table.space.architectures(table.codes[rows]), table.read("accuracy_percent", rows, true=True)))
    (a, y), (b, w) = parts
    model = Transfer(OnnxText((3, 32, 32)), b)
    model.learn_source(a, y)
    assert spearmanr(model.predict(b), w)[0] > 0.3
    model.fit(b[:50], w[:50])
    assert spearmanr(model.predict(b[50:]), w[50:])[0] >= 0.5
