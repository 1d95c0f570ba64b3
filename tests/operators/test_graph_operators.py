"""Graph layers against the published formulas, node by node, and what padding and order may not change."""

import pytest
import torch

from archwright.errors import SpaceError
from archwright.operators.graph_attention import GraphAttention
from archwright.operators.graph_conv import KINDS, GraphConv
from archwright.operators.graph_nodes import GraphPart, NodeNorm

NODES, IN, OUT = 6, 5, 8


def graph():
    """Nodes (1, 6, 5) and symmetric 0/1 edges (1, 6, 6); the last node has none."""
    torch.manual_seed(0)
    pairs = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)]
    edges = torch.zeros(1, NODES, NODES, dtype=torch.float64)
    for i, j in pairs:
        edges[0, i, j] = edges[0, j, i] = 1.0
    return torch.randn(1, NODES, IN, dtype=torch.float64), edges


def layers():
    found = [pytest.param(GraphConv(OUT, kind), id=kind) for kind in KINDS]
    return [*found, pytest.param(GraphAttention(OUT), id="gat")]


def module_of(layer):
    module = layer.module((NODES, IN), (NODES, NODES)).double().eval()
    with torch.no_grad():
        module.bias.copy_(torch.randn(OUT))
    return module


def published(kind, i, x, edges, module):
    """The new features of node i, as the papers write them for one node."""
    near = [j for j in range(NODES) if edges[i, j] > 0]
    degree = edges.sum(1)
    w, b = module.neighbour.weight, module.bias
    own = 0.0 if module.root is None else module.root.weight @ x[i]
    if kind == "gcn":
        terms = [w @ x[j] / ((degree[i] + 1) * (degree[j] + 1)).sqrt() for j in [*near, i]]
    elif kind == "gin":
        terms = [w @ (x[i] + sum(x[j] for j in near))]
    elif kind in ("cheb", "arma"):
        terms = [w @ x[j] / (degree[i] * degree[j]).sqrt() for j in near]
    elif kind == "sage":
        terms = [w @ x[j] / len(near) for j in near]
    else:
        terms = [w @ x[j] for j in near]
    y = sum(terms, own + b)
    return y.relu() if kind == "arma" else y


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_follow_the_formula_of_their_paper(kind):
    x, edges = graph()
    module = module_of(GraphConv(OUT, kind))
    want = torch.stack([published(kind, i, x[0], edges[0], module) for i in range(NODES)])
    assert torch.allclose(module(x, edges)[0], want, atol=1e-12)


def test_attention_weighs_what_a_node_reads_by_both_ends():
    x, edges = graph()
    module = module_of(GraphAttention(OUT, heads=2))
    h = module.value(x[0])
    for i in range(NODES):
        near = [j for j in range(NODES) if edges[0, i, j] > 0 or j == i]
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = [(module.reader[part] * h[i, part]).sum() + (module.source[part] * h[j, part]).sum() for j in near]
            weights = torch.nn.functional.leaky_relu(torch.stack(scores), 0.2).softmax(0)
            heads.append(sum(w * h[j, part] for w, j in zip(weights, near, strict=True)))
        assert torch.allclose(module(x, edges)[0, i], torch.cat(heads) + module.bias, atol=1e-12)


@pytest.mark.parametrize("layer", layers())
def test_order_of_the_nodes_is_that_of_the_outputs_and_nodes_without_edges_change_nothing(layer):
    x, edges = graph()
    module = module_of(layer)
    y = module(x, edges)
    order = torch.randperm(NODES)
    assert torch.allclose(module(x[:, order], edges[:, order][:, :, order]), y[:, order], atol=1e-12)
    assert torch.allclose(module(x[:, :5], edges[:, :5, :5]), y[:, :5], atol=1e-12)


@pytest.mark.parametrize("layer", layers())
def test_only_positive_entries_are_edges(layer):
    x, edges = graph()
    module = module_of(layer)
    assert torch.equal(module(x, edges - 2.0 * (edges == 0).double()), module(x, edges))
    assert not torch.allclose(module(x, edges), module(x, torch.zeros_like(edges)))


def test_weights_of_edges_count_in_convolutions_alone():
    x, edges = graph()
    sizes = 1.0 + torch.rand_like(edges)
    gat, gcn = module_of(GraphAttention(OUT)), module_of(GraphConv(OUT))
    assert torch.equal(gat(x, edges), gat(x, edges * sizes)) and not torch.allclose(
        gcn(x, edges), gcn(x, edges * sizes)
    )


def test_norm_of_nodes_is_over_all_nodes_of_all_graphs():
    module = NodeNorm("identity").module((4, 3)).double().train()
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    flat = x.reshape(20, 3)
    want = (flat - flat.mean(0)) / (flat.var(0, unbiased=False) + 1e-5).sqrt()
    assert torch.allclose(module(x), want.reshape(5, 4, 3), atol=1e-12)


def test_a_graph_is_taken_apart():
    x = torch.arange(2 * 3 * 5.0).reshape(2, 3, 5)
    nodes, edges = (GraphPart(part).module((3, 5))(x) for part in ("nodes", "edges"))
    assert torch.equal(torch.cat([nodes, edges], 2), x) and edges.shape == (2, 3, 3)


def test_what_is_no_graph_is_refused():
    with pytest.raises(SpaceError, match="need more than 4 columns"):
        GraphPart().output((4, 4))
    with pytest.raises(SpaceError, match="takes nodes"):
        GraphConv(8).output((4, 3), (4, 5))
    with pytest.raises(SpaceError, match="must divide"):
        GraphAttention(6).output((4, 3), (4, 4))
    with pytest.raises(SpaceError, match="kind of GraphConv"):
        GraphConv(8, "gnc").output((4, 3), (4, 4))
    with pytest.raises(SpaceError, match="dropout"):
        NodeNorm(dropout=1.0).output((4, 3))
