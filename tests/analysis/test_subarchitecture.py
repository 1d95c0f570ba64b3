"""Check a, d and e of optimal sub-architecture extraction: counts, formulas, the maximum point and AB^nC."""

import numpy as np
import pytest

from archwright.analysis.bert_sizes import (
    BertCosts,
    bert_space,
    embedding_params,
    encoder_operations,
    encoder_params,
    sizes_of,
)
from archwright.analysis.subarchitecture import (
    MaximumPoint,
    candidates_count,
    check_abnc,
    maximum_point,
    possible_w,
    strided,
    time_bound,
    training_steps,
    w_coefficient,
)
from archwright.errors import ConfigurationError
from archwright.space import Space, oneof


@pytest.fixture(scope="module")
def members():
    return bert_space().enumerate()


def test_bert_grid_has_300_members_and_the_largest_has_depth_12(members):
    costs = BertCosts().evaluate(members)
    largest = members[int(costs["params_m"].argmax())].tree
    assert len(members) == bert_space().size() == 300
    assert (largest.layers, largest.hidden, largest.intermediate) == (12, 1024, 3072)


@pytest.mark.slow
def test_parameters_equal_those_of_transformers_to_the_parameter(members):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    small = members[np.flatnonzero(sizes_of(members)[2] <= 768)]
    picked = small[rng.choice(len(small), 20, replace=False)]
    layers, heads, hidden, intermediate = sizes_of(picked)
    expected = encoder_params(layers, hidden, intermediate)
    embeddings = embedding_params(hidden, vocabulary=30522, positions=512, types=2)
    for i in range(20):
        config = transformers.BertConfig(
            num_hidden_layers=int(layers[i]), num_attention_heads=int(heads[i]), hidden_size=int(hidden[i]),
            intermediate_size=int(intermediate[i]),
        )  # fmt: skip
        with torch.device("meta"):
            model = transformers.BertModel(config, add_pooling_layer=False)
        assert sum(p.numel() for p in model.encoder.parameters()) == expected[i]
        assert sum(p.numel() for p in model.parameters()) == expected[i] + embeddings[i]


@pytest.mark.parametrize(
    ("hidden", "intermediate", "encoder_m", "embeddings_m"), [(1024, 768, 23.1, 52.0), (768, 1024, 15.8, 39.0)]
)
def test_both_readings_of_the_published_shape_count_as_our_formula_says(hidden, intermediate, encoder_m, embeddings_m):
    assert encoder_params(4, hidden, intermediate) / 1e6 == pytest.approx(encoder_m, abs=0.05)
    assert embedding_params(hidden, vocabulary=50265, positions=512) / 1e6 == pytest.approx(embeddings_m, abs=0.05)


def test_operations_of_one_layer_by_hand():
    # s=2, H=4, I=3, A=2: products 4*2*16 + 2*2*12 + 2*4*4 = 208, softmax 3*2*4 = 24, norms 2*4*2*4 = 64, activation 6
    assert encoder_operations(1, 2, 4, 3, tokens=2) == 208 + 24 + 64 + 6


def test_maximum_point_bounds_all_and_no_coefficient_is_negative(members):
    costs = BertCosts().evaluate(members)
    top = maximum_point(costs["params_m"], costs["macs_m"])
    assert (costs["params_m"] <= top.size).all() and (costs["macs_m"] <= top.latency).all()
    w = w_coefficient(costs["params_m"], costs["macs_m"], np.full(300, 0.1), top)
    assert (w >= 0).all() and w[costs["params_m"] == top.size].max() == 0.0


def test_coefficient_by_hand_and_guards():
    top = MaximumPoint(10.0, 100.0)
    size, latency, error = np.array([[5.0, 10.0, 12.0, 5.0], [20.0, 1.0, 1.0, 1.0], [0.2, 1.0, 1.0, np.nan]])
    w = w_coefficient(size, latency, error, top)
    assert w.tolist() == pytest.approx([0.5 * 0.8 / 0.2, 0.0, 0.0, 0.0])
    assert w_coefficient(np.zeros(1), np.zeros(1), np.zeros(1), top)[0] == pytest.approx(1e7)


def test_what_is_between_two_candidates_is_bounded_by_the_error_of_the_larger_by_hand():
    top = MaximumPoint(10.0, 10.0)
    size = np.array([0.0, 2.0, 5.0, 8.0])
    falling = np.array([1.0, np.nan, 0.5, np.nan])  # nothing is known above the last
    found = possible_w(size, size, falling, top)
    assert found[[0, 2]].tolist() == [0.0, 0.0] and found[1] == pytest.approx(0.8 * 0.8 / 0.5)
    assert found[3] == pytest.approx(0.2 * 0.2 / 1e-7)
    rising = np.array([0.5, np.nan, 0.6, np.nan])  # by a fifth: the one between may be lower by as much
    assert possible_w(size, size, rising, top)[1] == pytest.approx(0.8 * 0.8 / 0.6 * 1.2)


@pytest.mark.parametrize("members", [1, 2, 7, 8, 9, 300])
@pytest.mark.parametrize("interval", [1, 2, 4, 8, 32])
def test_stride_keeps_both_ends_and_counts_as_the_formula_says(members, interval):
    size = np.random.default_rng(members).permutation(members).astype(float)
    rows = strided(size, size, interval)
    assert len(rows) == len(set(rows.tolist())) == candidates_count(members, interval)
    assert size[rows].min() == 0 and size[rows].max() == members - 1


def test_steps_times_candidates_grow_as_the_published_bound():
    settings = [(0.5, 1), (0.2, 1), (0.1, 1), (0.5, 4), (0.2, 4), (1.0, 9)]
    assert [training_steps(e, s) for e, s in settings] == [2, 5, 10, 1, 3, 1]
    assert time_bound(300, 4, 0.1, largest=1e6, batch=8, settings=2) == 300 + 1e6 * (1 + 2 * 8 * 300 / (0.1 * 8))


def test_bert_encoder_has_the_cost_part_of_abnc_and_embeddings_break_it(members):
    costs = BertCosts().evaluate(members)
    assert check_abnc(members, costs).holds
    embeddings = embedding_params(sizes_of(members)[2], vocabulary=50265, positions=512) / 1e6
    whole = {"params_m": costs["params_m"] + embeddings}
    broken = check_abnc(members, whole, {"params_m": embeddings})
    assert not broken.holds and broken.ends_share["params_m"] > 0.9


def test_where_no_decision_is_ordered_nothing_is_claimed():
    space = Space({"op": oneof("conv", "skip", "pool")})
    found = check_abnc(space.enumerate(), {"params_m": np.array([1.0, 0.0, 0.5])})
    assert (found.pairs, found.violations["params_m"], found.holds) == (0, 0, False)


def test_pairs_are_counted_by_hand():
    members = Space({"a": oneof(1, 2, 3), "b": oneof(1, 2)}).enumerate()  # 2 * 2 steps along a, 3 along b
    found = check_abnc(members, {"params_m": members.codes[:, 0] - 2.0 * members.codes[:, 1]})
    assert (found.pairs, found.violations["params_m"]) == (7, 3)


def test_costs_that_fall_along_a_decision_are_counted(members):
    assert check_abnc(members, {"params_m": -BertCosts().evaluate(members)["params_m"]}).violations["params_m"] > 100
    with pytest.raises(ConfigurationError, match="2 values for 300 members"):
        check_abnc(members, {"params_m": np.zeros(2)})
