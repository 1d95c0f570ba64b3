"""Published spaces searched by their published recipes, small, on real digits; the result is built and run.

`nasnet` was searched by a controller, and so it is here; mixtures of `nasnet` and `mnasnet` are refused.
"""

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.evaluators.train import TrainEvaluator
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import train
from archwright.search.problem import Objective, Problem
from archwright.search.run import Budget, run
from archwright.spaces.nasnet import nasnet
from archwright.spaces.transfer import transfer
from archwright.tasks import load

CASES = {
    "sharpdarts": ("sharpdarts", {}),
    "hypercuboid": ("single-stage", {}),
    "fbnet": ("fbnet", {}),
    "proxylessnas": ("proxylessnas", {}),
    "mobilenetv3": ("bignas", {}),
    "autoformer": ("spos", {"patch": 2}),
    "vit_resnas": ("multi-arch", {"patch": 2}),
    "mixed_attention": ("rarts", {"patch": 2}),
    "mpcvit": ("mpcvit", {"patch": 2}),
    "pfnas": ("darts", {}),
}


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_short_search_ends_with_a_network_of_the_space(name, digits):
    method, changes = CASES[name]
    small = registry.entries("spaces")[name].labels["small"] | changes
    space = registry.get("spaces", name)(digits.input_shape, digits.outputs, **small)
    chosen = recipe(method, epochs=2, batch=128)
    if isinstance(chosen.selection, DartsEdges) and name != "sharpdarts":  # no edges in this space
        chosen = chosen.with_(selection=Argmax())
    result = GradientSearch(space, digits, chosen, seed=0).run(random=0)
    assert space.is_member(np.asarray(result.architecture.code)[None]).all()
    net = build(result.architecture, digits.input_shape).eval()
    assert net(torch.randn(2, *digits.input_shape)).shape == (2, digits.outputs)
    losses = [row["train_loss"] for row in result.history]
    assert np.isfinite(losses).all()
    if name != "proxylessnas":  # its single paths do not learn digits within these few steps
        assert losses[-1] < losses[0]


@pytest.mark.slow
def test_a_cell_that_a_controller_finds_on_digits_is_stacked_deeper_and_wider(digits):
    """Row 105 of the systems: NASNet's cells, a clipped policy gradient, training of every proposal, transfer."""
    few = {"blocks": 2, "operators": ("identity", "sep_conv_3x3", "max_pool_3x3", "conv_1x3_3x1")}
    small = nasnet(digits.input_shape, digits.outputs, channels=4, cells=1, **few)
    evaluator = TrainEvaluator(digits, Recipe(epochs=1, batch=64))
    problem = Problem(small, (Objective("accuracy_percent", "maximize"),), (evaluator,))
    controller = registry.get("strategies", "ppo")(problem, seed=0, round_size=4)
    before = [p.clone() for p in controller.controller.parameters()]
    result = run(problem, controller, Budget(trials=8), seed=0)
    found = result.best
    assert found.metrics["accuracy_percent"] == max(t.metrics["accuracy_percent"] for t in result.trials)
    assert any(not torch.equal(a, b) for a, b in zip(before, controller.controller.parameters(), strict=True))
    large = nasnet(digits.input_shape, digits.outputs, channels=8, cells=2, affine=True, drop_path=0.3, **few)
    stacked = transfer(found.candidate.architecture, large)
    assert stacked.code.tolist() == found.candidate.architecture.code.tolist()
    one, other = (build(a, digits.input_shape, seed=0) for a in (found.candidate.architecture, stacked))
    assert sum(p.numel() for p in other.parameters()) > 2 * sum(p.numel() for p in one.parameters())
    losses = [row["loss"] for row in train(other, digits, Recipe(epochs=2, batch=64)).history]
    assert losses[-1] < losses[0]
