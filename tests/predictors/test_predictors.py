from dataclasses import dataclass

import numpy as np
import pytest

from archwright import registry
from archwright.predictors.encoding import DEAD, Encoder, shared_options
from archwright.predictors.metrics import kendall, ranking_report, spearman, top_regret
from archwright.predictors.mlp import Perceptrons
from archwright.registry import get
from archwright.space import Space, oneof, repeat
from archwright.spaces.mlp import mlp
from archwright.spaces.nasbench201 import nasbench201

NAMES = [n for n in registry.names("predictors") if registry.entries("predictors")[n].labels.get("uncertainty")]


@dataclass(frozen=True)
class Part:
    place: str
    option: object


def additive_space():
    parts = [Part(f"p{i}", oneof(*"abcd", name=f"d{i}")) for i in range(5)]
    return Space((*parts, Part("p5", oneof(1, 2, 3, 4, name="e"))))


def values_of(architectures):
    """Additive with one interaction."""
    codes = architectures.codes.astype(float)
    return codes @ np.array([1.0, -2.0, 0.5, 0.0, 1.5, 1.0]) + 2.0 * (codes[:, 0] == codes[:, 2])


@pytest.mark.parametrize("name", NAMES)
def test_predictors_rank_what_they_have_not_seen(name):
    if registry.entries("predictors")[name].labels.get("extra") == "lightgbm":
        pytest.importorskip("lightgbm")
    space = additive_space()
    rng = np.random.default_rng(0)
    known, new = space.sample(120, rng), space.sample(200, rng)
    predictor = get("predictors", name)(space, seed=0)
    assert predictor.fit(known, values_of(known)) is predictor
    mean, std = predictor.predict(new)
    assert mean.shape == std.shape == (200,) and (std > 0).all()
    assert spearman(mean, values_of(new)) > 0.8
    assert abs(np.mean(mean - values_of(new))) < 1.0  # in the unit of the values


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_depends_on_data_and_seed_alone(name):
    if registry.entries("predictors")[name].labels.get("extra") == "lightgbm":
        pytest.importorskip("lightgbm")
    space = additive_space()
    known = space.sample(30, np.random.default_rng(0))
    once, again = (get("predictors", name)(space, seed=3).fit(known, values_of(known)) for _ in range(2))
    again.fit(known, values_of(known))  # a second fit replaces the first
    assert np.allclose(once.predict(known)[0], again.predict(known)[0], atol=1e-6)


@pytest.mark.parametrize("name", ["gp", "ridge"])
def test_doubt_is_larger_far_from_the_labels(name):
    space = additive_space()
    rng = np.random.default_rng(0)
    known = space.sample(20, rng)
    predictor = get("predictors", name)(space).fit(known, values_of(known))
    assert predictor.predict(known)[1].mean() < predictor.predict(space.sample(200, rng))[1].mean()


def test_pretraining_on_free_statistics_saves_labels():
    space = nasbench201((3, 32, 32), 10, cells=1)
    from archwright.costs.counts import Counts

    rng = np.random.default_rng(0)
    costs = Counts(space, (3, 32, 32))
    free = lambda a: np.stack([costs.evaluate(a)[m] for m in ("params_m", "macs_m")], axis=1)  # noqa: E731
    truth = lambda a: np.log(free(a)).sum(axis=1) + 0.3 * (a.codes == 1).sum(axis=1)  # noqa: E731
    test, gains = space.sample(300, rng), []
    small = {"structural": False, "members": 2, "hidden": 32}
    for seed in range(2):
        known = space.sample(12, rng)
        plain = Perceptrons(space, seed=seed, **small).fit(known, truth(known))
        taught = Perceptrons(space, seed=seed, **small)
        unlabelled = space.sample(300, rng)
        taught.pretrain(unlabelled, np.log(free(unlabelled))).fit(known, truth(known))
        gains.append(kendall(taught.predict(test)[0], truth(test)) - kendall(plain.predict(test)[0], truth(test)))
    assert np.mean(gains) > 0.1 and min(gains) > 0


def test_ranking_metrics_by_hand():
    predicted, true = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 3.0, 4.0])
    assert kendall(predicted, true) == pytest.approx(4 / 6) and spearman(predicted, true) == pytest.approx(0.8)
    assert top_regret(predicted, true, k=1) == 1.0 and top_regret(predicted, true, k=2) == 0.0
    assert kendall(np.ones(4), true) == 0.0
    assert ranking_report(true, true)["rmse"] == 0.0


def test_distances_of_encodings_are_hamming_distances():
    space = Space({"a": oneof(*"xyz"), "b": oneof(*"xy"), "c": oneof(1, 2, 3, 4, 5)})
    batch = space.architectures(np.array([[0, 0, 0], [1, 0, 0], [2, 1, 0], [0, 0, 1], [0, 0, 4]]))
    apart = Encoder(space)(batch).distances(Encoder(space)(batch))
    assert apart[0] == pytest.approx([0.0, 1.0, 2.0, 0.25, 1.0], abs=1e-5)
    assert (apart == apart.T).all()


def test_inactive_decisions_count_as_a_state_of_their_own():
    space = Space({"layers": repeat({"k": oneof(*"xyz")}, times=oneof(1, 2, name="depth"))})
    batch = space.architectures(np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1]]))
    apart = Encoder(space)(batch).distances(Encoder(space)(batch))
    assert apart[0, 1] == pytest.approx(2.0) and apart[1, 2] == pytest.approx(1.0)


def test_dead_edges_do_not_tell_cells_apart():
    space = nasbench201(cells=1)
    encoder = Encoder(space)
    # node 1 is read by nobody, so the operator that feeds it cannot matter
    codes = np.array([[3, 3, 0, 3, 0, 3], [2, 3, 0, 3, 0, 3], [3, 3, 0, 3, 1, 3]])
    encoded = encoder(space.architectures(codes))
    assert encoded.codes[0].tolist() == [DEAD, 3, DEAD, 3, DEAD, 3]
    keys = encoded.keys().tolist()
    assert keys[0] == keys[1] != keys[2]


def test_graph_numbers_of_cells_by_hand():
    space = nasbench201(cells=1)
    structure = Encoder(space)._structure
    codes = np.array([[3, 3, 3, 1, 3, 3], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [3, 0, 3, 0, 0, 3]], np.int16)
    numbers, through = structure.read(codes)
    longest, shortest, ways = numbers.T
    # three cells add 3, 0, cut and 3 to what stem, reductions and head always have
    assert longest[0] - longest[1] == 9 and shortest[0] == shortest[1] == longest[1]
    assert longest[2] == 0 and not through[2].any()
    assert longest[3] == longest[0] and shortest[3] == longest[3] and through[3].tolist() == [1, 0, 1, 0, 0, 1]
    assert ways[0] == pytest.approx(3 * np.log(4) + 2 * np.log(2), abs=1e-4)


def test_decisions_with_the_same_options_are_counted_together():
    space = nasbench201(cells=1)
    assert [g.tolist() for g in shared_options(space)] == [[0, 1, 2, 3, 4, 5]]
    assert Encoder(mlp((8,), 3))(mlp((8,), 3).sample(4, np.random.default_rng(0))).blocks["counts"].shape[0] == 4
