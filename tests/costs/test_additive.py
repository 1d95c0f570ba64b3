"""Laws of additive costs: batches, single networks, explanations and expectations agree."""

import numpy as np
import pytest
import torch

from archwright.costs.base import AdditiveCost
from archwright.costs.counts import Counts
from archwright.costs.workload import rows_of, rows_of_program
from archwright.errors import ConfigurationError, SpaceError
from archwright.nets import build
from archwright.nets.build import program_of
from archwright.operators import Classifier, Conv, Residual, Sequential
from archwright.space import Space, oneof, repeat
from tests.nets.spaces import SPACES


class Squares(AdditiveCost):
    """Multiply-accumulates squared: additive over operators and over nothing else."""

    metrics = ("energy_pj",)

    def row_costs(self, rows):
        return {"energy_pj": np.asarray(rows.counts["macs"]) ** 2}


@pytest.fixture(params=sorted(SPACES))
def made(request):
    return SPACES[request.param]()


def test_rows_of_a_batch_are_the_steps_of_each_network(made):
    space, shape = made
    archs = space.sample(12, np.random.default_rng(0))
    work = rows_of(space, archs.codes, shape)
    for i, a in enumerate(archs):
        steps = program_of(a, shape).steps
        rows = [r for r in work.index[i].tolist() if r >= 0]
        assert [(work.rows.leaves[r], work.rows.input_shapes[r]) for r in rows] == [
            (s.leaf, s.input_shapes) for s in steps
        ]


def test_counts_equal_the_built_networks(made):
    space, shape = made
    archs = space.sample(8, np.random.default_rng(1))
    columns = Counts(space, shape).evaluate(archs)
    for i, a in enumerate(archs):
        net = build(a, shape)
        assert round(columns["params_m"][i] * 1e6) == sum(p.numel() for p in net.parameters())
        alone = rows_of_program(program_of(a, shape).steps)
        assert alone.sum(alone.rows.counts["macs"])[0] == pytest.approx(columns["macs_m"][i] * 1e6)


def test_a_batch_is_the_concatenation_of_its_parts(made):
    space, shape = made
    cost, archs = Squares(space, shape), space.sample(9, np.random.default_rng(2))
    whole = cost.evaluate(archs)["energy_pj"]
    parts = [cost.evaluate(archs[:4])["energy_pj"], cost.evaluate(archs[4:])["energy_pj"]]
    assert np.array_equal(whole, np.concatenate(parts))


def test_an_explanation_adds_up(made):
    space, shape = made
    cost, a = Squares(space, shape), space.sample(1, np.random.default_rng(3))[0]
    lines = cost.explain(a)
    assert sum(line["energy_pj"] for line in lines) == pytest.approx(cost.evaluate(a.code[None])["energy_pj"][0])
    assert lines[-1]["output"] == program_of(a, shape).shape


def one_hot(space, code):
    return {
        d.path: torch.nn.functional.one_hot(torch.tensor(max(int(code[d.index]), 0)), d.size).double()
        for d in space.decisions
    }


def test_the_expectation_at_certainty_is_the_cost(made):
    space, shape = made
    cost = Squares(space, shape)
    archs = space.sample(10, np.random.default_rng(4))
    values = cost.evaluate(archs)["energy_pj"]
    for i, a in enumerate(archs):
        assert float(cost.expected(one_hot(space, a.code))["energy_pj"]) == pytest.approx(values[i], rel=1e-12)


def test_the_expectation_is_the_mean_over_independent_draws():
    block = Conv(oneof(4, 6, name="w"), kernel=oneof(1, 3))
    space = Space(Sequential((Conv(oneof(2, 4)), repeat(block, times=oneof(0, 1, 2)), Classifier(2))))
    cost = Squares(space, (3, 6, 6))
    rng = np.random.default_rng(5)
    weights = {d.path: torch.tensor(rng.dirichlet(np.ones(d.size))) for d in space.decisions}
    archs = space.enumerate()
    chance = np.ones(len(archs))
    for d in space.decisions:
        p = weights[d.path].numpy()
        codes = archs.codes[:, d.index]
        chance *= np.where(codes >= 0, p[np.maximum(codes, 0)], 1.0)
    assert chance.sum() == pytest.approx(1.0)
    mean = float((chance * cost.evaluate(archs)["energy_pj"]).sum())
    assert float(cost.expected(weights)["energy_pj"]) == pytest.approx(mean, rel=1e-12)


def test_the_expectation_has_gradients_that_point_to_cheaper_options():
    space = Space(Sequential((Conv(oneof(2, 8)), Classifier(2))))
    cost = Counts(space, (3, 6, 6))
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    cost.expected({space.decisions[0].path: logits.softmax(0)})["macs_m"].backward()
    assert logits.grad[1] > 0 > logits.grad[0]


def test_missing_probabilities_are_named():
    space = Space(Sequential((Conv(oneof(2, 8)), Classifier(2))))
    with pytest.raises(ConfigurationError, match="no probabilities for the decision"):
        Counts(space, (3, 6, 6)).expected({"other": torch.ones(1)})


def test_bounds_enclose_every_network(made):
    space, shape = made
    cost = Counts(space, shape)
    low, high = cost.bounds(samples=256)["params_m"]
    values = cost.evaluate(space.sample(200, np.random.default_rng(6)))["params_m"]
    assert low <= values.min() and values.max() <= high


def test_codes_of_another_space_are_refused():
    space = Space(Sequential((Conv(oneof(2, 8)), Classifier(2))))
    with pytest.raises(SpaceError, match="expected codes"):
        rows_of(space, np.zeros((3, 7), dtype=np.int16), (3, 6, 6))


def test_wiring_that_is_a_decision_is_followed():
    body = Conv(3)
    space = Space(Sequential((Residual(body, shortcut=oneof("identity", "none", "projection")), Classifier(2))))
    archs = space.enumerate()
    columns = Counts(space, (3, 6, 6)).evaluate(archs)
    built = [sum(p.numel() for p in build(a, (3, 6, 6)).parameters()) for a in archs]
    assert np.round(columns["params_m"] * 1e6).astype(int).tolist() == built
    assert len(set(built)) == 2
