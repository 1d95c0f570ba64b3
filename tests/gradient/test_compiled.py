"""Compiled steps do what ordinary ones do, and what cannot be compiled says why."""

import itertools

import pytest
import torch

from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.nets import compiled as module

# Torch's compiler looks at gradients that are not there and hides the warning itself, unless warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")
QUICK = {"epochs": 2, "batch": 16, "warmup": 0}


@pytest.fixture
def untranslated(monkeypatch):
    """Graphs are made as always and run as they are, without the minutes that the translation to machine code takes."""
    compile_ = torch.compile
    made = []

    def counted(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(module.torch, "compile", lambda f, **k: compile_(f, fullgraph=k["fullgraph"], backend=counted))
    yield made
    torch.compiler.reset()


def three_steps(method, space, task, device=None, **options):
    """Losses, and the parameters afterwards; the batches are those of a compiled search."""
    search, losses = GradientSearch(space, task, method, seed=2, device=device, **options), []
    data = GradientSearch(space, task, method, seed=2, device=device, compile=True).data
    for i, (train, valid) in enumerate(itertools.islice(data.batches(0), 3)):
        search._set_step(i)
        losses.append(float(method.update.step(search.stepper, train, valid, i)))
    return losses, {name: p.detach().cpu().double() for name, p in search.core.state_dict().items()}


def agree(one, other, rel=1e-4):
    assert one[0] == pytest.approx(other[0], rel=rel)
    for name, value in one[1].items():
        gap = float((value - other[1][name]).abs().max())
        assert gap <= rel * (1.0 + float(value.abs().max())), f"{name} differs by {gap}"


@pytest.mark.parametrize("name", ["darts", "darts-2nd", "rarts", "fbnet", "drnas", "tanglenas"])
def test_the_graph_of_a_step_gives_the_losses_and_parameters_of_an_ordinary_step(name, convs, task, untranslated):
    method = recipe(name, **QUICK)
    plain = three_steps(method, convs, task)
    assert not untranslated
    agree(plain, three_steps(method, convs, task, compile=True))
    assert 0 < len(untranslated) <= 2  # one for each phase or copy, and none for the steps after


def test_layer_norms_of_superposed_networks_are_compiled_too(features, untranslated):
    from archwright.operators.head import Classifier
    from archwright.operators.linear import Linear
    from archwright.operators.norm import Norm
    from archwright.operators.sequential import Sequential
    from archwright.space import Space, oneof

    space = Space(Sequential((Linear(oneof(4, 8), "relu"), Norm("layer"), Linear(oneof(4, 8)), Classifier(3))))
    method = recipe("tanglenas", **QUICK)
    agree(three_steps(method, space, features), three_steps(method, space, features, compile=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["darts", "tanglenas"])
def test_compiled_code_gives_the_losses_and_parameters_of_an_ordinary_step(name, convs, task):
    method = recipe(name, **QUICK)
    agree(three_steps(method, convs, task), three_steps(method, convs, task, compile=True))
    torch.compiler.reset()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["darts", "darts-2nd", "rarts", "pc-darts"])
def test_captured_graphs_give_the_losses_and_parameters_of_an_ordinary_step(name, cells, task):
    method = recipe(name, **QUICK)
    plain = three_steps(method, cells, task, device="cuda")
    agree(plain, three_steps(method, cells, task, device="cuda", compile=True), rel=1e-3)
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["gdas", "proxylessnas", "spos", "bignas"])
def test_a_method_that_draws_paths_says_why_it_is_not_compiled(name, cells, task):
    with pytest.raises(ConfigurationError, match="draws another path at each"):
        recipe(name, compile=True)
    with pytest.raises(ConfigurationError, match="compile=False"):
        GradientSearch(cells, task, recipe(name), compile=True)


def test_masked_weights_say_why_they_are_not_compiled():
    with pytest.raises(ConfigurationError, match="replaces those of the operators"):
        recipe("dass", compile=True)


def test_measuring_and_steps_without_compile_stay_ordinary(convs, task, untranslated):
    search = GradientSearch(convs, task, recipe("darts", **QUICK), compile=True)
    search.mixture_measure(1)
    search.inherited(convs.smallest(), 1)
    assert not untranslated
