"""Graph networks of NAS-Bench-Graph: sizes, wirings, keys, weight sharing, and that they learn from a graph."""

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.errors import ConfigurationError, SpaceError
from archwright.measure.backends import runner
from archwright.nets import Supernet, build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.spaces.nasbench_graph import (
    LINKS,
    ON_PROTEINS,
    OPERATORS,
    from_keys,
    layer_of,
    nasbench_graph,
    network_keys,
    of_table,
    released_params,
    to_keys,
)


def network(space, key):
    return space.architectures(from_keys(np.array([key])))[0]


def params(net):
    return sum(p.numel() for p in net.parameters())


def test_every_member_has_a_key_and_every_key_a_member():
    space = of_table("cora")
    codes = space.enumerate().codes
    assert len(codes) == space.size() == 59049
    keys = to_keys(codes)
    assert len(np.unique(keys)) == 59049 and (from_keys(keys) == codes).all()
    few = of_table("proteins").enumerate().codes
    assert len(few) == 5625 and (from_keys(to_keys(few, ON_PROTEINS), ON_PROTEINS) == few).all()


def test_keys_are_the_published_digits():
    a = network(of_table("cora"), 44546)  # 0013 sage arma sage graph
    assert a.tree.links == "0013" and to_keys(a.code[None])[0] == 44546
    assert a.tree.layers == tuple(layer_of(name, 256) for name in ("sage", "arma", "sage", "graph"))
    assert a.space.encode(a.tree).key == a.key


def test_codes_of_one_network_share_its_key_and_normal_code():
    same = [[61288, 71828, 78182], [21028, 21082], [30132, 31023], [4112, 4121]]
    other = [61188, 21083, 30123, 4113]
    skip = OPERATORS.index("skip")
    space = of_table("cora")
    for group, another in zip(same, other, strict=True):
        codes = from_keys(np.array([*group, another]))
        keys = network_keys(codes, skip)
        assert len(set(keys[:-1].tolist())) == 1 and keys[-1] != keys[0], group
        normal = space.tree.normal_codes(codes)
        assert (normal[:-1] == normal[0]).all() and (normal[-1] != normal[0]).any()
        assert (network_keys(normal, skip) == keys).all()
    # the 26,206 that were trained, and those whose output reads the raw input as well
    assert len(np.unique(network_keys(space.enumerate().codes, skip))) == 27938


def test_layers_have_the_sizes_that_follow_from_their_formulas():
    width, raw = 8, 5
    sizes = {"gcn": 1, "gin": 1, "fc": 1, "cheb": 2, "sage": 2, "arma": 2, "graph": 2, "gat": 1}
    space = nasbench_graph((6, 6 + raw), 3, width=width, hidden=False)
    for name, maps in sizes.items():
        digit = OPERATORS.index(name)
        net = build(network(space, 80000 + 1111 * digit), (6, 6 + raw))  # four of them in a row
        own = sum(maps * before * width + width * (3 if name == "gat" else 1) for before in (raw, width, width, width))
        assert params(net) == own + 4 * 2 * width + (width + 1) * 3
    skipped = build(network(space, 88880 + OPERATORS.index("fc")), (6, 6 + raw))  # three skips before one layer
    assert params(skipped) == (raw + 1) * width + 2 * width + (width + 1) * 3


def test_the_released_networks_hold_norms_and_matrices_that_nothing_uses():
    code = from_keys(np.array([88885]))  # skip skip skip arma
    ours = 2 * 1433 * 256 + 256 + 512 + 257 * 256 + 257 * 7
    assert params(build(network(of_table("cora"), 88885), (4, 1437))) == ours
    assert released_params(np.array([ours]), code, "cora")[0] == ours + 3 * 512 + 65536


@pytest.mark.parametrize("links", LINKS)
def test_outputs_read_the_layers_that_no_layer_reads(links):
    space = nasbench_graph((6, 11), 3, width=4, hidden=False)
    a = space.architecture({"links": links, **{f"layer{i}": layer_of("fc", 4) for i in range(4)}})
    net = build(a, (6, 11))
    ends = 4 - len(set(links) - {"0"})
    assert next(m for m in reversed(list(net.modules())) if isinstance(m, torch.nn.Linear)).in_features == 4 * ends


def test_skips_leave_out_layers_without_a_trace():
    space = nasbench_graph((6, 11), 3, width=4)
    x = torch.randn(2, 6, 11)
    nets = [build(network(space, key), (6, 11), seed=0).eval() for key in (88312, 83812, 83182)]  # cheb, gcn, gin
    state = list(nets[0].state_dict().values())
    for net in nets:
        net.load_state_dict(dict(zip(net.state_dict(), state, strict=True)))
    assert all(torch.equal(net(x), nets[0](x)) for net in nets)


def test_networks_over_raw_features_share_weights_as_well():
    """Layers that read the input have more features to read than those that read a layer."""
    space = nasbench_graph((5, 5 + 11), 3, width=8)
    torch.manual_seed(0)
    net = Supernet(space, (5, 16)).eval()
    x = torch.randn(3, 5, 16)
    for a in [network(space, 8888), network(space, 88888), *space.sample(12, np.random.default_rng(0))]:
        with torch.no_grad():
            assert torch.equal(net(x, a), net.extract(a)(x)) and net(x, a).shape == (3, 3)


def test_outputs_of_every_node_start_with_those_of_the_first():
    one, every = (nasbench_graph((6, 11), 3, width=4, every=every) for every in (False, True))
    nets = [build(network(space, 10123), (6, 11), seed=0).eval() for space in (one, every)]
    nets[1].load_state_dict(dict(zip(nets[1].state_dict(), nets[0].state_dict().values(), strict=True)))
    x = torch.randn(2, 6, 11)
    found = [net(x) for net in nets]
    assert found[1].shape == (2, 6, 3) and torch.allclose(found[1][:, 0], found[0], atol=1e-6)


@pytest.mark.parametrize("key", [10123, 24567])  # every operator once
def test_networks_run_where_latency_is_measured(key):
    pytest.importorskip("onnxruntime")
    net = build(network(nasbench_graph((6, 11), 3, width=8), key), (6, 11), seed=0).eval()
    x = torch.randn(1, 6, 11)
    found = runner(net, [x], "onnxruntime", 1)()
    with torch.no_grad():
        assert torch.allclose(torch.as_tensor(found[0]), net(x), atol=1e-5)


def learned(task, key, epochs):
    """Accuracy in percent on the test nodes before and after training."""
    space = nasbench_graph(task.input_shape, task.outputs, width=16, hidden=False)
    net = build(network(space, key), task.input_shape, seed=0)
    before = evaluate(net, task, "test")["accuracy_percent"]
    train(net, task, Recipe(epochs=epochs, lr=1e-2), seed=0)
    return before, evaluate(net, task, "test")["accuracy_percent"]


def test_a_graph_network_learns_above_chance_in_moments():
    task = tasks.load("synthetic_graph", nodes=400, surroundings=12)
    assert learned(task, 88811, 6)[1] > 60.0  # chance is 25


@pytest.mark.slow
def test_graph_layers_learn_what_single_nodes_do_not_tell():
    task = tasks.load("synthetic_graph", nodes=2000)
    before, alone = learned(task, 88877, 15)  # fully connected layers read no edge
    graphs = {key: learned(task, key, 15)[1] for key in (88811, 88844, 88800, 3146)}
    assert before < 45.0 and alone < 60.0
    assert min(graphs.values()) > 80.0, graphs


def test_synthetic_graphs_are_surroundings_of_nodes():
    task = tasks.load("synthetic_graph", nodes=200, classes=3, features=4, surroundings=10, seed=3)
    assert task.input_shape == (10, 14) and task.outputs == 3 and task.preprocessing["synthetic"]
    assert len(task.train) + len(task.valid) + len(task.test) == 200
    x = task.train.x
    edges = x[:, :, 4:]
    assert torch.equal(edges, edges.mT) and edges.diagonal(dim1=1, dim2=2).eq(0).all()
    assert set(edges.unique().tolist()) == {0.0, 1.0}
    ways = edges + torch.eye(10)
    reach = torch.linalg.matrix_power(ways, 9)[:, 0] > 0  # all nodes that are not padding hang together
    assert (reach | x[:, :, :4].eq(0).all(2)).all()
    again = tasks.load("synthetic_graph", nodes=200, classes=3, features=4, surroundings=10, seed=3)
    assert torch.equal(again.train.x, x) and torch.equal(again.train.y, task.train.y)
    with pytest.raises(ConfigurationError, match="as many features"):
        tasks.load("synthetic_graph", features=3)


def test_edges_of_a_synthetic_graph_stay_inside_as_often_as_asked():
    import archwright.tasks.synthetic_graph as module

    label = np.arange(600) % 3
    edges = module._edges(label, 10.0, 0.7, np.random.default_rng(0))
    same = label[:, None] == label[None, :]
    assert edges.sum(1).mean() == pytest.approx(10.0, rel=0.05)
    assert edges[same].sum() / edges.sum() == pytest.approx(0.7, abs=0.03)


def test_what_does_not_fit_is_refused():
    with pytest.raises(SpaceError, match="graphs"):
        nasbench_graph((3, 32, 32), 10)
    with pytest.raises(SpaceError, match="no table 'coral'"):
        of_table("coral")
    with pytest.raises(SpaceError, match="keys of five digits"):
        from_keys(np.array([90000]))
    with pytest.raises(SpaceError, match="keys of five digits"):
        from_keys(np.array([0]), ON_PROTEINS)
    with pytest.raises(SpaceError, match="operator of nasbench_graph"):
        nasbench_graph((4, 6), 2, operators=("gcm",))
