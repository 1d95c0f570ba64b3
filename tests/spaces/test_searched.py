"""Published spaces searched by their published recipes, small, on real digits; the result is built and run.

`nasnet` and `mnasnet` were searched by controllers, and are not among them: their mixtures are refused.
"""

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.nets import build
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
