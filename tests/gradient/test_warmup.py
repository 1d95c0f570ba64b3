"""Architecture parameters stand still while the weights warm up."""

import torch

from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe


def test_architecture_parameters_are_frozen_in_the_warm_up_and_move_after_it(cells, task):
    search = GradientSearch(cells, task, recipe("pc-darts", epochs=2, batch=16, warmup=1))
    parameters = search.core.architecture_parameters()
    weights = search.core.weight_parameters()
    start = [p.detach().clone() for p in parameters]
    first = [p.detach().clone() for p in weights]
    search.run(epochs=1, random=0)
    assert all(torch.equal(p, q) for p, q in zip(parameters, start, strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(weights, first, strict=True))
    search.run(random=0)
    assert all(not torch.equal(p, q) for p, q in zip(parameters, start, strict=True) if p.numel() > 1)


def test_the_warm_up_of_a_recipe_keeps_its_share_of_the_epochs():
    assert recipe("pc-darts").warmup == 15
    assert recipe("pc-darts", epochs=10).warmup == 3
