"""P-DARTS: stages with fewer options and more cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.depth_growth import DepthGrowth
from archwright.gradient.selections.edges import edge_groups
from archwright.operators.skip_dropout import FadingDropout
from archwright.spaces.darts import darts

OPERATORS = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")


@pytest.fixture(scope="module")
def stack(task):
    """Two normal cells in each of the three runs: stages of 5 and 8 cells."""
    return darts(task.input_shape, task.outputs, channels=4, cells=8, nodes=1, operators=OPERATORS)


def method(epochs=6, **growth):
    growth = {"keep": (1.0, 0.5), "depth": (0.5, 1.0), "dropout": (0.0, 0.4)} | growth
    return recipe("p-darts", selection=DepthGrowth(**growth), epochs=epochs, warmup=1, batch=48)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def cells_of(search):
    return len(search.core.inner.tree.cells)


def test_the_recipe_has_the_published_stages(task):
    space = darts(task.input_shape, task.outputs, channels=4, cells=17)
    growth = recipe("p-darts").selection
    counts = [len(growth.supernet_space(space, stage).tree.cells) for stage in range(3)]
    assert counts == [5, 11, 17]
    assert [round(k * 8) for k in growth.keep] == [8, 5, 3]
    for stage, cells in enumerate(counts):  # as `darts` itself stacks them
        grown = growth.supernet_space(space, stage)
        plain = darts(task.input_shape, task.outputs, channels=4, cells=cells)
        assert [d.name for d in grown.decisions] == [d.name for d in plain.decisions]
        shapes = [tuple(p.shape) for p in _parameters(plain, task)]
        assert [tuple(p.shape) for p in _parameters(grown, task)] == shapes


def _parameters(space, task):
    from archwright.nets.build import build

    return list(build(space.largest(), task.input_shape).parameters())


def test_weights_alphas_and_what_is_left_are_carried_over(stack, task):
    search = GradientSearch(stack, task, method(inherit=True), seed=3)
    search.run(epochs=3, random=0)
    assert cells_of(search) == 5
    before, alphas = search.core.supernet.state_dict(), [a.detach().clone() for a in search.core.alphas.values()]
    chances = search.core.probabilities(detach=True)
    search.enter(1)
    after = search.core.supernet.state_dict()
    assert cells_of(search) == 8
    assert all(torch.equal(a, b) for a, b in zip(alphas, search.core.alphas.values(), strict=True))
    # cells 0, 2, 3, 5, 6 of the stack of 8 were there; normal cell 3 was cell 2 of the stack of 5
    moved = [n for n in before if n.startswith("large.cells_2_nodes")]
    assert moved
    for name in moved:
        assert torch.equal(before[name], after[name.replace("cells_2_", "cells_3_")]), name
    for d, p in zip(stack.decisions, chances.values(), strict=True):
        left = search.core.left(d.index)
        assert len(left) == 2
        assert sorted(p.tolist())[-2:] == sorted(p[left].tolist())


def test_stages_begin_anew_as_published(stack, task):
    search = GradientSearch(stack, task, method(), seed=3)
    search.run(epochs=3, random=0)
    alphas = [a.detach().clone() for a in search.core.alphas.values()]
    assert search.history[-1]["lr"] < 0.025 / 2
    search.enter(1)
    assert not any(torch.equal(a, b) for a, b in zip(alphas, search.core.alphas.values(), strict=True))
    fresh = [a.detach().clone() for a in search.core.alphas.values()]
    search.run(epochs=4, random=0)  # the warm-up of the second stage
    assert all(torch.equal(a, b) for a, b in zip(fresh, search.core.alphas.values(), strict=True))
    search.run(epochs=5, random=0)
    assert not any(torch.equal(a, b) for a, b in zip(fresh, search.core.alphas.values(), strict=True))


# inside a stage, between stages, inside the last one with its dropout
@pytest.mark.parametrize(("stop", "inherit"), [(2, True), (3, True), (4, True), (4, False)])
def test_a_search_goes_on_exactly(stack, task, tmp_path, stop, inherit):
    whole = GradientSearch(stack, task, method(inherit=inherit), seed=1)
    whole.run(random=0)
    first = GradientSearch(stack, task, method(inherit=inherit), seed=1, folder=tmp_path)
    first.run(epochs=stop, random=0)
    torch.rand(7)  # nothing depends on the caller's random numbers
    second = GradientSearch(stack, task, method(inherit=inherit), seed=1, folder=tmp_path)
    assert second.epoch == stop
    second.run(random=0)
    assert same(whole.core.state_dict(), second.core.state_dict())
    assert [r["code"] for r in whole.history] == [r["code"] for r in second.history]
    assert len(second.core.inner.tree.cells) == 8


def test_dropout_behind_skips_fades(stack, task):
    search = GradientSearch(stack, task, method(), seed=0)
    rates = []
    for _ in range(6):
        search.advance()
        rates.append({m.p * m.left.item() for m in search.core.supernet.modules() if isinstance(m, FadingDropout)})
    assert rates[:3] == [set()] * 3
    assert [next(iter(r)) for r in rates[3:]] == pytest.approx([0.4 * 2 / 3, 0.4, 0.4 * np.exp(-0.2)])


def test_the_normal_cell_keeps_few_skips_and_the_strongest(task):
    space = darts(task.input_shape, task.outputs, channels=4, cells=5, nodes=3)
    search = GradientSearch(space, task, recipe("p-darts", epochs=3, warmup=0, batch=16), seed=0)
    normal = {d for d in space.decisions if d.name.startswith("normal")}
    with torch.no_grad():  # skips everywhere, by different margins
        for i, (d, a) in enumerate(zip(space.decisions, search.core.alphas.values(), strict=True)):
            a.zero_()
            a[d.options.index("skip_connect")] = 3.0 + 0.1 * i
            a[d.options.index("sep_conv_3x3")] = 1.0

    def skips(limit, kind):
        search.method = search.method.with_(selection=DepthGrowth(skips=limit))
        code = search.method.selection.choose(search).code
        return [
            d.index for d in space.decisions if (d in normal) == kind and d.options[code[d.index]] == "skip_connect"
        ]

    assert len(skips(None, True)) == 6 and len(skips(2, False)) == 6
    kept = skips(2, True)
    assert kept == sorted(d.index for d in normal)[-2:]  # the strongest
    assert len(skips(0, True)) == 0
    assert len(edge_groups(space)) == 6


def test_impossible_stages_are_refused():
    for wrong in ({"depth": (0.2, 0.5, 0.7)}, {"keep": (0.5, 1.0, 0.3)}, {"dropout": (0.0, 0.4)}):
        with pytest.raises(ConfigurationError, match="depth growth needs"):
            replace(DepthGrowth(), **wrong)
