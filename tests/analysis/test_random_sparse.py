"""Random node masks and the baseline that chooses among them."""

import numpy as np
import pytest
import torch
from torch import nn

from archwright.analysis.random_sparse import masked, node_mask, random_sparse
from archwright.errors import ConfigurationError
from archwright.nets.recipe import Recipe
from archwright.tasks import load


def make():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 10))


def test_masks_take_whole_nodes_at_the_sparsity_and_leave_the_outputs():
    masks = node_mask(make(), 0.9, np.random.default_rng(0))
    assert [int(m.any(1).sum()) for m in masks.values()] == [4, 2]
    assert all(torch.equal(m.any(1), m.all(1)) for m in masks.values())
    assert list(masks) == ["1", "3"]
    with pytest.raises(ConfigurationError, match="sparsity"):
        node_mask(make(), 1.0, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="hidden layers"):
        node_mask(nn.Linear(2, 2), 0.5, np.random.default_rng(0))


def test_the_mask_of_least_loss_is_trained_and_its_zeros_stay():
    task = load("digits")
    found = random_sparse(make, task, Recipe(epochs=2), 0.5, candidates=4, seed=2)
    assert found.losses.shape == (4,) and found.losses.argmin() != 0 and found.chosen != found.first
    assert min(found.chosen["accuracy_percent"], found.first["accuracy_percent"]) > 15  # chance is 10
    again = random_sparse(make, task, Recipe(epochs=2), 0.5, candidates=4, seed=2)
    assert again.chosen == found.chosen
    net = masked(make(), node_mask(make(), 0.5, np.random.default_rng(0)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        nn.functional.cross_entropy(net(task.train.x[:32]), task.train.y[:32]).backward()
        optimizer.step()
    net(task.train.x[:2])  # masks are applied in the pass
    assert float((net[1].weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
