"""Whole searches of published systems on real images, from the first step to a network that runs."""

import numpy as np
import pytest
import torch

from archwright.costs.counts import Counts
from archwright.data import data_root
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.mixings.entangled import EntangledWeights
from archwright.gradient.penalties.limit import Limit
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.dirichlet import Dirichlet
from archwright.gradient.relaxations.gumbel_hard import GumbelHard
from archwright.gradient.relaxations.softmax import Softmax
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.evolution import Evolution
from archwright.nets import build
from archwright.spaces.autoformer import autoformer
from archwright.spaces.convnet import convnet
from archwright.spaces.darts import darts
from archwright.spaces.hypercuboid import hypercuboid
from archwright.spaces.nasbench201 import nasbench201
from archwright.spaces.pfnas import pfnas, pfnas_vit
from archwright.spaces.sharpdarts import sharpdarts
from archwright.spaces.vit_resnas import vit_resnas
from archwright.tasks import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def images():
    return load("cifar10_20k", pixels=16, images=1600)


def searched(space, task, method):
    """A network of the found architecture, and the result of a search whose loss fell."""
    result = GradientSearch(space, task, method, seed=0).run(random=3)
    losses = [row["train_loss"] for row in result.history]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert space.is_member(np.asarray(result.architecture.code)[None]).all()
    net = build(result.architecture, task.input_shape).eval()
    assert net(torch.randn(2, *task.input_shape)).shape == (2, task.outputs)
    return net, result


@pytest.mark.data
@pytest.mark.skipif(data_root() is None, reason="the external data folder is not there (ARCHWRIGHT_DATA)")
@pytest.mark.parametrize("space", [sharpdarts, hypercuboid], ids=["cells", "hypercuboid"])
def test_sharpdarts_ends_with_a_genotype_on_real_images(space, images):
    small = {"channels": 4, "cells": 3, "nodes": 2} if space is sharpdarts else {}
    method = recipe("sharpdarts", epochs=3, batch=64)
    if space is hypercuboid:  # its layers are no edges of nodes
        small, method = {"widths": (8, 16), "layers": 4, "features": 32}, method.with_(selection=Argmax())
    _, result = searched(space(images.input_shape, images.outputs, **small), images, method)
    chances = result.search.core.probabilities(detach=True)
    assert all(float(p.sum()) == pytest.approx(1.0) for p in chances.values())


@pytest.mark.parametrize("space", [darts, nasbench201], ids=["darts", "nasbench201"])
def test_rarts_searches_both_spaces_of_its_paper(space, digits):
    small = {"channels": 4, "cells": 2, "nodes": 2} if space is darts else {"channels": (4, 8), "cells": 1}
    selection = DartsEdges() if space is darts else Argmax()
    method = recipe("rarts", epochs=2, batch=64, selection=selection)
    searched(space(digits.input_shape, digits.outputs, **small), digits, method)


RELAXED = {"darts": Softmax(), "gdas": GumbelHard(), "drnas": Dirichlet()}


@pytest.mark.parametrize("relaxation", sorted(RELAXED))
@pytest.mark.parametrize("space", ["toy", "transformer"])
def test_entangled_spaces_are_searched_to_the_end_by_every_differentiable_optimizer(space, relaxation, digits):
    """Row 141 of the systems: kernels and widths of convolutions; widths, depths, heads and ratios of a transformer."""
    shape, outputs = digits.input_shape, digits.outputs
    if space == "toy":
        made = convnet(shape, outputs)
    else:
        made = autoformer(
            shape, outputs, patch=2, widths=(8, 12, 16), depths=(1, 2), heads=(1, 2), ratios=(1.0, 2.0), head_dim=4
        )
    method = recipe("tanglenas", epochs=2, batch=64, relaxation=RELAXED[relaxation], penalties=())
    assert isinstance(method.mixing, EntangledWeights)
    searched(made, digits, method)


@pytest.mark.parametrize("space", [pfnas, pfnas_vit, darts], ids=["bottlenecks", "transformer", "cells"])
def test_searches_choose_between_parameter_free_and_other_operators(space, digits):
    if space is pfnas:
        made = pfnas(digits.input_shape, digits.outputs, stages=((8, 2, 1), (16, 1, 2)), stem=(8, 3, 1), widening=2)
    elif space is pfnas_vit:
        made = pfnas_vit(digits.input_shape, digits.outputs, features=16, heads=2, layers=2, patch=2)
    else:
        made = darts(digits.input_shape, digits.outputs, channels=4, cells=2, nodes=2)
    steep = Training("adam", 0.02, None, clip=0.0)  # few steps
    method = recipe("darts", epochs=2, batch=64, architecture=steep)
    method = method if space is darts else method.with_(selection=Argmax())
    _, result = searched(made, digits, method)
    pooled = ["max" in str(o).lower() or "EffAttention" in str(o) for o in made.decisions[0].options]
    assert any(pooled) and not all(pooled)
    moved = [float((p - 1.0 / len(p)).abs().max()) for p in result.search.core.probabilities(detach=True).values()]
    assert min(moved) > 1e-3


def test_evolution_over_a_supernet_of_several_architectures_a_batch_meets_a_budget(digits):
    space = vit_resnas(
        digits.input_shape, digits.outputs, patch=2, head_dim=4,
        stages=(((8, 12), (1, 2), (8, 16), 1, 1), ((12, 16), (1, 2), (16, 24), 1, 0)),
    )  # fmt: skip
    cost = Counts(space, digits.input_shape)
    drawn = cost.evaluate(space.sample(200, np.random.default_rng(0)))["macs_m"]
    budget = float(np.quantile(drawn, 0.3))
    method = recipe("multi-arch", epochs=3, batch=64, penalties=(Limit(cost, "macs_m", at_most=budget),))
    method = method.with_(selection=Evolution(population=12, generations=3, batches=2))
    _, result = searched(space, digits, method)
    found = space.architectures(np.asarray(result.architecture.code)[None])
    assert float(cost.evaluate(found)["macs_m"][0]) <= budget
