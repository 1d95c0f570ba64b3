"""Keys that equal functions share, and the evaluator that uses them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from archwright.analysis.cell_forms import canonical_form
from archwright.analysis.hashing import FunctionalHash
from archwright.benchmarks.table import load
from archwright.data import data_root
from archwright.errors import ConfigurationError
from archwright.evaluators.cached import FILE, CachedEvaluator
from archwright.evaluators.table import TableEvaluator
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof
from archwright.spaces.mlp import mlp
from archwright.spaces.nasbench201 import from_string, nasbench201

SHAPE = (3, 8, 8)
SMALL = nasbench201(SHAPE, 10, channels=(4,), cells=1)
needs_data = pytest.mark.skipif(data_root() is None, reason="needs the tables of ARCHWRIGHT_DATA")


def cell(*edges: str):
    """A cell by the operators of its six edges, short names."""
    names = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}
    a, b, c, d, e, f = (names[k] for k in edges[0])
    code = from_string(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
    return SMALL.architectures(code[None])[0]


def test_mirrored_and_dead_branches_hit_and_other_operators_do_not():
    key = FunctionalHash(SHAPE)
    assert key(cell("3000s0")) == key(cell("03000s"))  # over node 1 or over node 2
    assert key(cell("3000s0")) == key(cell("3p00s0"))  # node 2 is not read
    assert key(cell("3000s0")) != key(cell("1000s0"))
    assert key(cell("000300")) == key(cell("3000s0"))  # directly, or with a skip behind


def test_two_convolutions_are_not_one_used_twice():
    twice_one = cell("3s00ss")  # node 1 = c(x), node 2 = x: out = c(x) + x
    assert key_of("33s0ss") != key_of("30s0ss")  # c1(x) + (c1(x) + c2(x)) against c1(x) + c1(x)
    assert key_of("33000s") == key_of("03000s")  # the first convolution is not read
    assert FunctionalHash(SHAPE)(twice_one) != key_of("33s0ss")


def test_which_of_two_equal_convolutions_feeds_what_matters_only_to_sensitive_keys():
    # out = p(a) + p(a) + b, and out = p(a) + p(b) + a, for two 1x1 convolutions a and b of the input, p pooling
    pair = SMALL.architectures(np.array([[2, 0, 1, 2, 4, 4], [2, 2, 1, 0, 1, 4]]))
    assert canonical_form(pair.codes[0].tolist()) != canonical_form(pair.codes[1].tolist())
    plain, sensitive = FunctionalHash(SHAPE, sensitive=False), FunctionalHash(SHAPE)
    assert plain(pair[0]) == plain(pair[1]) and sensitive(pair[0]) != sensitive(pair[1])


def key_of(edges: str) -> str:
    return FunctionalHash(SHAPE)(cell(edges))


def test_keys_do_not_depend_on_what_was_hashed_before_nor_on_what_is_forgotten():
    some = SMALL.sample(12, np.random.default_rng(1))
    together, tiny = FunctionalHash(SHAPE), FunctionalHash(SHAPE, remember=2)
    keys = [together(a) for a in some]
    assert keys == [FunctionalHash(SHAPE)(a) for a in some] == [tiny(a) for a in reversed(list(some))][::-1]
    assert keys[0] != FunctionalHash(SHAPE, seed=1)(some[0])


@pytest.mark.slow
def test_keys_agree_with_exact_forms_on_a_sample_of_cells():
    some = SMALL.sample(150, np.random.default_rng(2))
    key = FunctionalHash(SHAPE)
    keys = np.unique([key(a) for a in some], return_inverse=True)[1]
    forms = np.unique([canonical_form(c) for c in some.codes.tolist()], return_inverse=True)[1]
    same_key, same_form = (v[:, None] == v[None, :] for v in (keys, forms))
    assert (same_form <= same_key).all()  # nothing equal is missed
    assert (same_key & ~same_form).sum() <= 0.001 * same_form.sum()


def test_key_of_a_whole_network_separates_and_joins_like_that_of_one_cell():
    whole = nasbench201((3, 16, 16), 10)
    codes = np.stack([cell(e).code for e in ("3000s0", "03000s", "1000s0")])
    key = FunctionalHash((3, 16, 16), samples=1)
    a, b, c = (key(x) for x in whole.architectures(codes))
    assert a == b != c


def test_networks_of_other_spaces_have_keys():
    space = mlp((6,), 2)
    key = FunctionalHash((6,))
    some = space.sample(20, np.random.default_rng(0)).unique()
    assert len({key(a) for a in some}) == len({a.digest for a in some})


class Counting:
    """Says the first code and how often it was asked."""

    metrics = ("accuracy_percent", "simulated_s")
    deterministic = True
    batched = True

    def __init__(self) -> None:
        self.asked = 0

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        self.asked += len(architectures)
        return {
            "accuracy_percent": architectures.codes[:, 0].astype(np.float64) + fidelity,
            "simulated_s": np.full(len(architectures), 7.0),
        }


def numbers() -> Space:
    return Space({"a": oneof(1, 2, 3, name="a"), "b": oneof(1, 2, name="b")})


def test_cache_asks_once_a_key_and_fidelity_and_hits_cost_no_time():
    inner = Counting()
    cached = CachedEvaluator(inner, lambda a: str(a.code[0]))
    codes = numbers().architectures(np.array([[0, 0], [0, 1], [2, 0], [0, 0]]))
    found = cached.evaluate(codes)
    assert found["accuracy_percent"].tolist() == [1.0, 1.0, 3.0, 1.0]
    assert found["simulated_s"].tolist() == [7.0, 0.0, 7.0, 0.0]
    assert (inner.asked, cached.hits, cached.queries) == (2, 2, 4)
    cached.evaluate(codes, fidelity=0.5)
    assert inner.asked == 4
    assert cached.batched and cached.deterministic and cached.metrics == inner.metrics


def test_cache_survives_in_the_run_folder_and_a_cut_line_is_asked_again(tmp_path):
    codes = numbers().architectures(np.array([[0, 0], [2, 0]]))
    first = CachedEvaluator(Counting(), lambda a: str(a.code[0]))
    first.prepare(tmp_path)
    expected = first.evaluate(codes)
    inner = Counting()
    again = CachedEvaluator(inner, lambda a: str(a.code[0]))
    again.prepare(tmp_path)
    assert again.evaluate(codes)["accuracy_percent"].tolist() == expected["accuracy_percent"].tolist()
    assert inner.asked == 0
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text[:-10])
    inner = Counting()
    cut = CachedEvaluator(inner, lambda a: str(a.code[0]))
    cut.prepare(tmp_path)
    cut.evaluate(codes)
    assert inner.asked == 1
    assert [json.loads(line)["key"] for line in (tmp_path / FILE).read_text().splitlines()] == ["0", "2"]
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(ConfigurationError, match="line 1"):
        CachedEvaluator(Counting(), lambda a: "").prepare(tmp_path)


@needs_data
@pytest.mark.slow
@pytest.mark.data
def test_evolution_with_the_cache_is_told_what_the_first_equivalent_cell_got():
    table = load("nasbench201-cifar10")
    key = FunctionalHash(SHAPE)

    def key_of_code(architecture):
        return key(SMALL.architectures(architecture.code[None])[0])

    cached = CachedEvaluator(TableEvaluator(table, ["accuracy_percent"]), key_of_code)
    problem = Problem(table.space, [Objective("accuracy_percent", "maximize")], [cached])
    strategy = get("strategies", "regularized_evolution")(problem, seed=0, population=20, sample=5)
    result = run(problem, strategy, Budget(trials=100))
    assert cached.queries == len(result.trials) == 100
    told: dict[str, float] = {}
    for trial in sorted(result.trials, key=lambda t: t.number):
        architecture = trial.candidate.architecture
        own = float(table.read("accuracy_percent", table.rows(architecture.code[None]))[0])
        assert trial.metrics["accuracy_percent"] == told.setdefault(key_of_code(architecture), own)
    assert len(told) == cached.queries - cached.hits < 100
