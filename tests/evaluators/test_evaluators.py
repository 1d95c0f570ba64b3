import numpy as np
import pytest
import torch

from archwright import registry, tasks
from archwright.costs.counts import Counts
from archwright.data import data_root
from archwright.errors import ConfigurationError, EvaluationError, SpaceError
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.evaluators.measured import MeasuredLatency
from archwright.evaluators.train import TrainEvaluator
from archwright.measure.timing import Protocol
from archwright.nets import Supernet, build
from archwright.nets.recalibrate import recalibrate
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.nets.train_supernet import train_supernet
from archwright.operators import Classifier, Conv, Linear, MBConv, Sequential
from archwright.search.budget import Budget
from archwright.search.pareto import hypervolume
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof, repeat
from archwright.strategies.linas import Linas

torch.set_num_threads(1)


def conv_space():
    return Space(
        Sequential(
            (
                Conv(oneof(4, 8, 16), stride=2),
                repeat(MBConv(oneof(8, 12, name="width"), kernel=oneof(3, 5), expand=2), times=oneof(0, 1, 2)),
                Classifier(10),
            )
        )
    )


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


@pytest.fixture
def drawn():
    return conv_space().sample(3, np.random.default_rng(0))


def test_evaluators_are_listed():
    assert {"train", "inherited", "measured"} <= set(registry.names("evaluators"))


def test_training_is_deterministic_for_a_seed_and_batches_are_concatenations(digits, drawn):
    evaluator = TrainEvaluator(digits, Recipe(epochs=2))
    whole = evaluator.evaluate(drawn, seed=1)
    assert set(whole) == set(evaluator.metrics) and whole["accuracy_percent"].shape == (3,)
    parts = [TrainEvaluator(digits, Recipe(epochs=2)).evaluate(drawn[i : i + 1], seed=1) for i in range(3)]
    for metric in whole:
        assert np.array_equal(whole[metric], np.concatenate([p[metric] for p in parts]))
    other = evaluator.evaluate(drawn, seed=2)["cross_entropy_nats"]
    assert (other != whole["cross_entropy_nats"]).all()


def test_recipes_in_the_space_replace_the_evaluators_and_are_searched_with_the_networks(digits):
    recipe = {
        "optimizer": oneof("sgd", "adamw", name="optimizer"),
        "lr": oneof(1e-6, 1e-2, name="lr"),
        "mixup": oneof(0.0, 0.2, name="mixup"),
        "ema": oneof(0.0, 0.9, name="ema"),
        "epochs": oneof(1, 3, name="epochs"),
    }
    layers = (Conv(16, stride=2), Conv(oneof(16, 24)), Classifier(10))
    space = Space({"network": Sequential(layers), "recipe": recipe})
    assert space.size() == 2 * 2**5
    evaluator = TrainEvaluator(digits, Recipe(batch=32))
    network = {"optimizer": "adamw", "mixup": 0.2, "ema": 0.9, "epochs": 3}
    slow, quick = (space.architecture(network | {"lr": lr}) for lr in (1e-6, 1e-2))
    assert evaluator.recipe_of(quick) == Recipe("adamw", lr=1e-2, epochs=3, batch=32, mixup=0.2, ema=0.9)
    accuracy = [evaluator.evaluate(space.architectures(a.code[None]))["accuracy_percent"][0] for a in (slow, quick)]
    assert accuracy[1] > accuracy[0] + 20
    counts = Counts(space, digits.input_shape).evaluate(space.architectures(np.stack([slow.code, quick.code])))
    assert counts["params_m"][0] == counts["params_m"][1] > 0
    wrong = Space({"network": Sequential(layers), "recipe": {"learning_rate": oneof(1.0, 2.0)}})
    with pytest.raises(ConfigurationError, match="a dictionary of"):
        evaluator.recipe_of(wrong.smallest())


@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_a_later_fidelity_goes_on_where_the_earlier_stopped(digits, drawn, kept, tmp_path, monkeypatch):
    folder = tmp_path / "states" if kept == "folder" else None
    at_once = TrainEvaluator(digits, Recipe(epochs=4)).evaluate(drawn)
    trained = []

    def counting(*args, **kwargs):
        result = train(*args, **kwargs)
        trained.append(len(result.history) - (kwargs["state"].epoch if kwargs["state"] else 0))
        return result

    monkeypatch.setattr("archwright.evaluators.train.train", counting)
    in_steps = TrainEvaluator(digits, Recipe(epochs=4), folder=folder)
    half = in_steps.evaluate(drawn, fidelity=0.5)
    if folder is not None:
        assert len(list(folder.iterdir())) == 3
        in_steps = TrainEvaluator(digits, Recipe(epochs=4), folder=folder)
    full = in_steps.evaluate(drawn, fidelity=1.0)
    assert trained == [2] * 6
    assert np.array_equal(full["cross_entropy_nats"], at_once["cross_entropy_nats"])
    assert (full["cross_entropy_nats"] < half["cross_entropy_nats"]).all()
    assert folder is None or not list(folder.iterdir())


def test_fidelity_must_be_a_share(digits, drawn):
    for fidelity in (0.0, 1.5):
        with pytest.raises(ConfigurationError, match=r"lies in \(0, 1\]"):
            TrainEvaluator(digits).evaluate(drawn, fidelity=fidelity)


def test_a_diverging_training_is_an_evaluation_error(digits, drawn):
    with pytest.raises(EvaluationError, match=r"loss is|not finite|of a trained network"):
        recipe = Recipe(optimizer="sgd", lr=1e30, clip=0.0, warmup=0.0, epochs=2)
        TrainEvaluator(digits, recipe).evaluate(drawn)


def test_a_space_of_another_input_is_refused(digits):
    table = Space(Sequential((Linear(oneof(4, 8)), Classifier(10))))
    with pytest.raises(SpaceError):
        TrainEvaluator(digits, Recipe(epochs=1)).evaluate(table.sample(1, np.random.default_rng(0)))
    wrong_head = Space(Sequential((Conv(oneof(4, 8)), Classifier(3))))
    with pytest.raises(EvaluationError, match=r"\(batch, 10\)"):
        TrainEvaluator(digits, Recipe(epochs=1)).evaluate(wrong_head.sample(1, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def trained(digits):
    torch.manual_seed(0)
    supernet = Supernet(conv_space(), digits.input_shape)
    train_supernet(supernet, digits, Recipe(epochs=12, lr=0.02))
    return supernet


def test_inherited_accuracy_is_that_of_the_extracted_recalibrated_network(digits, trained, drawn):
    drawn = trained.space.sample(4, np.random.default_rng(1))
    evaluator = InheritedEvaluator(trained, digits, batches=3, batch=100)
    weights = {k: v.clone() for k, v in trained.state_dict().items()}
    given = evaluator.evaluate(drawn)
    for i in range(4):
        batches = list(evaluator.calibration.batches(100))
        assert len(batches) == 3
        net, _ = recalibrate(trained.extract(drawn[i]), batches, n=3)
        assert given["accuracy_percent"][i] == pytest.approx(evaluate(net, digits)["accuracy_percent"], abs=0.4)
    assert all(torch.equal(v, weights[k]) for k, v in trained.state_dict().items())
    assert np.array_equal(evaluator.evaluate(drawn)["accuracy_percent"], given["accuracy_percent"])


def test_recalibration_is_worth_its_time(digits, trained):
    drawn = trained.space.sample(8, np.random.default_rng(2))
    fresh = InheritedEvaluator(trained, digits).evaluate(drawn)["accuracy_percent"]
    stale = [evaluate(trained.extract(drawn[i]).eval(), digits)["accuracy_percent"] for i in range(8)]
    assert fresh.mean() > np.mean(stale) + 3


def test_fidelity_of_inherited_accuracy_is_the_share_of_examples(digits, trained):
    drawn = trained.space.sample(1, np.random.default_rng(0))
    evaluator = InheritedEvaluator(trained, digits, samples=200)
    assert len(evaluator.valid) == 200
    accuracy = evaluator.evaluate(drawn, fidelity=0.1)["accuracy_percent"][0]
    assert accuracy * 20 / 100 == pytest.approx(round(accuracy * 20 / 100), abs=1e-6)


def test_linas_finds_the_front_of_an_elastic_supernet_in_half_the_evaluations(digits, trained):
    space = trained.space
    goals = [Objective("accuracy_percent", "maximize"), Objective("params_m")]
    evaluators = [Counts(space, digits.input_shape), InheritedEvaluator(trained, digits, samples=300)]
    problem = Problem(space, goals, evaluators)
    everything = space.enumerate()
    columns = {name: values for e in evaluators for name, values in e.evaluate(everything).items()}
    whole = problem.losses_of(columns, len(everything))
    low, span = whole.min(axis=0), np.ptp(whole, axis=0)
    reference = np.ones(2)
    result = run(problem, Linas(problem, seed=0, population=5), Budget(trials=len(everything) // 2))
    found = (problem.losses(result.trials) - low) / span
    assert len({t.candidate.architecture.key for t in result.trials}) == len(everything) // 2
    assert hypervolume(found, reference) > 0.97 * hypervolume((whole - low) / span, reference)
    assert hypervolume(found[:5], reference) < hypervolume(found, reference)  # it learned after the random start


def test_measured_latency_grows_with_the_network(digits):
    space = Space(Sequential((Conv(oneof(4, 256)), Conv(oneof(4, 256)), Classifier(10))))
    evaluator = MeasuredLatency((3, 24, 24), protocol=Protocol(seconds=0.02, warmup_seconds=0.05))
    pair = space.architectures(space.codes([space.smallest(), space.largest()]))
    columns = evaluator.evaluate(pair)
    assert set(columns) == set(evaluator.metrics)
    assert columns["latency_ms"][1] > 5 * columns["latency_ms"][0] > 0
    assert (columns["latency_p95_ms"] >= columns["latency_ms"]).all()
    assert [r.median_ms for r in evaluator.reports] == columns["latency_ms"].tolist()


needs_data = pytest.mark.skipif(data_root() is None, reason="the external data folder is not there (ARCHWRIGHT_DATA)")


@pytest.mark.data
@pytest.mark.slow
@needs_data
def test_a_small_network_on_adult_is_above_84_percent():
    task = tasks.load("adult")
    tree = Sequential((Linear(64, activation="relu"), Linear(32, activation="relu"), Classifier(2)))
    net = build(tree, task.input_shape, seed=0)
    train(net, task, Recipe(epochs=6, batch=256, lr=3e-3))
    assert evaluate(net, task, "test")["accuracy_percent"] > 84


@pytest.mark.data
@pytest.mark.slow
@needs_data
def test_a_small_network_on_california_housing_beats_linear_regression():
    from sklearn.linear_model import LinearRegression

    task = tasks.load("california_housing")
    linear = LinearRegression().fit(task.train.x.numpy(), task.train.y.numpy())
    error = linear.predict(task.test.x.numpy()) - task.test.y.numpy()
    baseline = float(np.sqrt((error**2).mean()))
    from archwright.operators import Regressor

    tree = Sequential((Linear(64, activation="relu"), Linear(64, activation="relu"), Regressor(1)))
    net = build(tree, task.input_shape, seed=0)
    train(net, task, Recipe(epochs=20, batch=128, lr=5e-3))
    assert evaluate(net, task, "test")["rmse"] < 0.9 * baseline


@pytest.mark.data
@pytest.mark.slow
@needs_data
@pytest.mark.parametrize(("name", "epochs", "least"), [("mnist_25k", 4, 97.0), ("cifar10_20k", 8, 56.0)])
def test_a_small_network_learns_the_image_sets(name, epochs, least):
    task = tasks.load(name)
    tree = Sequential(
        (Conv(16, stride=2 if name == "mnist_25k" else 1), Conv(32, stride=2), Conv(64, stride=2), Classifier(10))
    )
    net = build(tree, task.input_shape, seed=0)
    train(net, task, Recipe(epochs=epochs, batch=64, lr=0.02 if name == "mnist_25k" else 0.01))
    assert evaluate(net, task, "test")["accuracy_percent"] > least


def test_weights_of_finished_trainings_are_kept_until_forgotten(digits, drawn, tmp_path):
    evaluator = TrainEvaluator(digits, Recipe(epochs=2), folder=tmp_path, keep=True)
    first, second = drawn[0], drawn[1]
    assert evaluator.network(first) is None
    reached = evaluator.evaluate(drawn[:2])["accuracy_percent"]
    again = TrainEvaluator(digits, Recipe(epochs=2), folder=tmp_path, keep=True)  # as another process would
    assert evaluate(again.network(first), digits)["accuracy_percent"] == reached[0]
    again.forget(but=[second])
    assert again.network(first) is None and again.network(second) is not None


def test_weights_are_not_kept_without_a_folder(digits):
    with pytest.raises(ConfigurationError, match="folder"):
        TrainEvaluator(digits, keep=True)
