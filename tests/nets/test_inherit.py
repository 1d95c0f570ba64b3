"""Weights that a neighbour takes over."""

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.nets import build
from archwright.nets.inherit import inherit
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.spaces.flexibert import flexibert

SMALL = {"widths": (16, 32), "feed_forward": (32, 64), "embedding": 16, "vocabulary": 18}
SHAPE = (16,)


def encoder(space, **changes):
    chosen = {"hidden": 32, "depth": 2}
    for i in range(2):
        layer = {"operator": "DSC/5", "heads": 2, "ffn.hidden": 64, "ffn.stacks": 1}
        chosen |= {f"parts.3#{i}.{name}": value for name, value in layer.items()}
    return space.architecture(chosen | changes)


def test_a_network_like_the_donor_becomes_the_donor():
    space = flexibert(SHAPE, 4, **SMALL)
    donor, net = (build(encoder(space), SHAPE, seed=s).eval() for s in (0, 1))
    x = torch.randint(0, 18, (3, 16)).float()
    assert not torch.equal(net(x), donor(x))
    assert inherit(net, donor) == 1.0 and torch.equal(net(x), donor(x))


def test_all_but_the_changed_layer_is_copied_and_of_other_widths_what_both_have():
    space = flexibert(SHAPE, 4, **SMALL)
    donor = build(encoder(space), SHAPE, seed=0)
    other = build(encoder(space, **{"parts.3#1.operator": "SA/SDP"}), SHAPE, seed=1)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    share = inherit(other, donor)
    kept = {k for k, v in other.state_dict().items() if torch.equal(v, before[k])}
    assert 0.6 < share < 1.0 and any("SA_SDP" in k for k in kept)
    changed = [k for k, v in other.state_dict().items() if k not in kept]
    assert all(torch.equal(other.state_dict()[k], donor.state_dict()[k]) for k in changed)
    narrow = build(encoder(space, hidden=16), SHAPE, seed=1)
    assert inherit(narrow, donor) > 0.9
    name, weight = next((k, v) for k, v in narrow.state_dict().items() if v.ndim == 2 and v.shape[0] == 16)
    assert torch.equal(weight, donor.state_dict()[name][: weight.shape[0], : weight.shape[1]])


@pytest.mark.slow
def test_a_neighbour_with_inherited_weights_is_ahead_after_an_epoch():
    task = tasks.load("synthetic_tokens")
    space = flexibert(task.input_shape, task.outputs, **SMALL)
    donor = build(encoder(space), task.input_shape, seed=0)
    train(donor, task, Recipe(epochs=6, lr=3e-3), seed=0)
    gains = []
    for change in ({"parts.3#1.operator": "SA/SDP"}, {"parts.3#0.ffn.hidden": 32}, {"parts.3#1.heads": 4}):
        found = []
        for taken in (False, True):
            net = build(encoder(space, **change), task.input_shape, seed=1)
            if taken:
                inherit(net, donor)
            train(net, task, Recipe(epochs=1, lr=1e-3), seed=1)
            found.append(evaluate(net, task, "test")["accuracy_percent"])
        gains.append(found[1] - found[0])
    assert min(gains) > 0 and np.mean(gains) > 10
