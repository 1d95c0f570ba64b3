"""Every combination of the four parts either runs or says why it does not."""

import itertools

import pytest
import torch

from archwright import registry
from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch, Method
from archwright.gradient.method import Training
from archwright.gradient.recipes import recipe

PARTS = ("relaxations", "mixings", "updates", "selections")
SMALL = {
    "perturbation": {"tuning": 0.2, "batches": 1},
    "ablation": {"rounds": 2, "tuning": 0.2, "batches": 1},
    "evolution": {"population": 4, "generations": 1, "parents": 2, "batches": 1},
    "coarse_to_fine": {"population": 4, "generations": 2, "parents": 2, "batches": 1, "levels": 2},
    "partial_channels": {"share": 2},
}


def part(kind, name):
    return registry.get(kind, name)(**SMALL.get(name, {}))


def made(names):
    parts = {kind[:-1]: part(kind, name) for kind, name in zip(PARTS, names, strict=True)}
    return Method(**parts, epochs=1, batch=16, weights=Training(lr=0.01))


COMBINATIONS = list(itertools.product(*(registry.names(kind) for kind in PARTS)))


def legal(names):
    try:
        made(names)
    except ConfigurationError as error:
        assert "cannot be used with" in str(error)
        return False
    return True


def test_there_are_hundreds_of_legal_combinations_and_each_part_is_in_one():
    found = [c for c in COMBINATIONS if legal(c)]
    assert len(found) > 300
    for i, kind in enumerate(PARTS):
        assert {c[i] for c in found} == set(registry.names(kind))


def two_steps(names, space, task):
    method = made(names)
    search = GradientSearch(space, task, method, seed=1)
    before = [p.detach().clone() for p in search.core.architecture_parameters()]
    assert search.data.steps >= 2
    pairs = itertools.islice(search.data.batches(0), 2)
    for i, (train, valid) in enumerate(pairs):
        search._set_step(i)
        loss = method.update.step(search.stepper, train, valid, i)
        assert torch.isfinite(loss)
    moved = any(not torch.equal(a, b) for a, b in zip(before, search.core.architecture_parameters(), strict=True))
    assert moved == method.relaxation.learned
    chosen = method.selection.finish(search)
    assert space.is_member(chosen.code[None])[0]


NEIGHBOURS = [(0, 1), (0, 2), (1, 2), (1, 3)]  # selections read what mixtures and their relaxations leave behind


def covering(combinations):
    """A few combinations in which every legal pair of parts that work on the same tensors occurs."""

    def pairs(c):
        return {(i, j, c[i], c[j]) for i, j in NEIGHBOURS}

    left, out = set().union(*map(pairs, combinations)), []
    while left:
        out.append(max(combinations, key=lambda c: len(pairs(c) & left)))
        left -= pairs(out[-1])
    return out


@pytest.mark.parametrize("names", covering([c for c in COMBINATIONS if legal(c)]), ids="-".join)
def test_every_legal_pair_of_neighbouring_parts_runs_two_steps(names, cells, task):
    two_steps(names, cells, task)


@pytest.mark.slow
@pytest.mark.parametrize("names", [c for c in COMBINATIONS if legal(c)], ids="-".join)
def test_every_legal_combination_runs_two_steps(names, cells, task):
    two_steps(names, cells, task)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("softmax", "sampled", "first_order", "argmax"), "draws one"),
        (("gumbel_hard", "outputs", "second_order", "argmax"), "same path"),
        (("uniform", "sampled", "single_level", "argmax"), "nothing is learned"),
        (("softmax", "outputs", "sandwich", "argmax"), "uniform"),
        (("gumbel_hard", "sampled", "first_order", "perturbation"), "never runs"),
        (("softmax", "outputs", "first_order", "none"), "single_stage"),
        (("uniform", "sampled", "first_order", "progressive"), "no ranking"),
    ],
)
def test_an_illegal_combination_says_why(names, reason):
    with pytest.raises(ConfigurationError, match=reason):
        made(names)


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_recipes_are_methods_whose_labels_name_their_parts(name):
    method, labels = recipe(name), registry.entries("recipes")[name].labels
    for kind in PARTS:
        part_class = registry.get(kind, labels[kind[:-1]])
        assert type(getattr(method, kind[:-1])) is part_class
    assert registry.entries("recipes")[name].summary


def test_unknown_settings_and_recipes_are_named():
    with pytest.raises(ConfigurationError, match="epochs"):
        recipe("darts", epoch=3)
    with pytest.raises(ConfigurationError, match="no setting 'sparsity'"):
        recipe("darts", sparsity=0.5)
    with pytest.raises(ConfigurationError, match="darts"):
        recipe("dartz")
