"""The DARTS space against published counts, its evaluation network, and transfer."""

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.gradient.auxiliary import with_auxiliary
from archwright.nets import Supernet, build
from archwright.operators.auxiliary import AuxiliaryClassifier
from archwright.operators.drop_path import PathDropout, set_progress
from archwright.spaces.darts import OPERATORS, darts, darts_evaluation
from archwright.spaces.transfer import transfer
from archwright.tasks import load

IMAGE = (3, 32, 32)
# DARTS_V2 as published (their genotypes.py): node -> (operator, source) twice
NORMAL = [
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    (("sep_conv_3x3", 1), ("skip_connect", 0)),
    (("skip_connect", 0), ("dil_conv_3x3", 2)),
]
REDUCE = [
    (("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    (("skip_connect", 2), ("max_pool_3x3", 1)),
    (("max_pool_3x3", 0), ("skip_connect", 2)),
    (("skip_connect", 2), ("max_pool_3x3", 1)),
]


def published(space):
    options = {d.name: "none" for d in space.decisions}
    for kind, cell in (("normal", NORMAL), ("reduce", REDUCE)):
        for i, edges in enumerate(cell):
            for operator, source in edges:
                options[f"{kind}.{2 + i}.{source}"] = operator
    return space.architecture(options)


def test_the_search_space_has_28_decisions_of_8_operators():
    space = darts(IMAGE, 10)
    assert len(space.decisions) == 28 and space.size() == 8**28


def test_the_supernet_has_the_parameters_of_the_published_one():
    supernet = Supernet(darts(IMAGE, 10), IMAGE)
    assert sum(p.numel() for p in supernet.parameters()) == 1_930_618  # quark0/darts, C = 16, 8 cells: 1.930618 M


def test_the_evaluation_network_of_the_published_cells_has_their_parameters():
    space = darts_evaluation(IMAGE, 10, auxiliary=False)
    net = build(published(space), IMAGE)
    assert sum(p.numel() for p in net.parameters()) == 3_349_342  # DARTS_V2: "param size = 3.349342MB"


def test_transfer_restacks_the_cells():
    found = published(darts(IMAGE, 10))
    moved = transfer(found, darts_evaluation(IMAGE, 100, cells=6, channels=8))
    assert [d.options[k] for d, k in zip(moved.space.decisions, moved.code, strict=True)] == [
        d.options[k] for d, k in zip(found.space.decisions, found.code, strict=True)
    ]
    assert build(moved, IMAGE)(torch.randn(2, *IMAGE)).shape == (2, 100)


def test_transfer_to_other_cells_is_refused():
    found = published(darts(IMAGE, 10))
    with pytest.raises(SpaceError, match="smaller"):
        transfer(found, darts(IMAGE, 10, nodes=2))
    with pytest.raises(SpaceError, match="counterpart"):
        transfer(found, darts(IMAGE, 10, operators=OPERATORS[:4]))


def test_drop_path_rises_linearly_and_is_off_in_evaluation():
    drop = PathDropout(0.4)
    x = torch.ones(20_000, 1)
    for progress in (0.25, 0.5, 1.0):
        set_progress(drop, progress)
        y = drop(x)
        assert float((y == 0).float().mean()) == pytest.approx(0.4 * progress, abs=0.02)
        assert float(y.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(drop.eval()(x), x)


def test_the_auxiliary_head_learns_and_leaves_the_outputs_alone():
    space = darts_evaluation((3, 16, 16), 4, channels=4, cells=3, nodes=1, drop_path=0.0)
    net = build(space.sample(1, np.random.default_rng(0))[0], (3, 16, 16), seed=0)
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    task = load((np.zeros((40, 3, 16, 16), np.float32), np.arange(40) % 4))
    joint = with_auxiliary(task, net, 0.4)
    out = net.train()(x)
    head = next(m for m in net.modules() if isinstance(m, AuxiliaryClassifier))
    expected = task.loss(out, y) + 0.4 * task.loss(head.logits, y)
    assert joint.loss(out, y).item() == pytest.approx(expected.item())
    joint.loss(out, y).backward()
    assert head.outputs.weight.grad is not None
    net.eval()(x)
    assert head.logits is None
