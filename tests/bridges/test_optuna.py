import numpy as np
import pytest

from archwright.errors import ConfigurationError
from archwright.registry import get
from archwright.search.problem import Objective, Problem
from archwright.search.trial import Trial
from archwright.space import Space, oneof
from archwright.testing.strategies import Loop, Toy, limited_space, toy_problem, wide_space

optuna = pytest.importorskip("optuna")

from archwright.bridges.optuna_sampler import ArchwrightSampler, options_of  # noqa: E402
from archwright.bridges.optuna_storage import storage_at, to_study  # noqa: E402
from archwright.bridges.optuna_strategy import OptunaStrategy, sampler_strategy  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)


def categorical_problem():
    space = Space({f"d{i}": oneof(*(f"option {k}" for k in range(4)), name=f"d{i}") for i in range(5)})
    return Problem(space, (Objective("error_percent"),), (Toy(),))


def loss(codes):
    return float(((np.array(codes) - 2.0) ** 2).sum())


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "RandomSampler"])
def test_a_sampler_of_optuna_walks_the_same_way_as_in_its_own_study(name):
    def objective(trial):
        return loss([trial.suggest_categorical(f"d{i}", range(4)) for i in range(5)])

    study = optuna.create_study(sampler=getattr(optuna.samplers, name)(seed=7))
    study.optimize(objective, n_trials=60)
    native = [[t.params[f"d{i}"] for i in range(5)] for t in study.trials]

    problem = categorical_problem()
    loop = Loop(OptunaStrategy(problem, getattr(optuna.samplers, name)(seed=7)), problem)
    loop.until(60, 1)
    assert [t.candidate.architecture.code.tolist() for t in loop.trials] == native


@pytest.mark.parametrize("name", ["random", "regularized_evolution", "bayesian", "nsga2"])
def test_a_strategy_walks_the_same_way_inside_an_optuna_study(name):
    problem = categorical_problem()
    loop = Loop(get("strategies", name)(problem, seed=3), problem)
    loop.until(40, 1)
    native = [t.candidate.architecture.code.tolist() for t in loop.trials]

    distributions = {f"d{i}": optuna.distributions.CategoricalDistribution(range(4)) for i in range(5)}
    study = optuna.create_study(sampler=ArchwrightSampler(name, distributions, seed=3))
    study.optimize(lambda t: loss([t.suggest_categorical(f"d{i}", range(4)) for i in range(5)]), n_trials=40)
    assert [[t.params[f"d{i}"] for i in range(5)] for t in study.trials] == native


def test_two_objectives_and_failed_trials_reach_the_strategy():
    distributions = {
        "x": optuna.distributions.IntDistribution(0, 9),
        "y": optuna.distributions.FloatDistribution(0.0, 1.0),
    }
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=ArchwrightSampler("nsga2", distributions, seed=0)
    )

    def objective(trial):
        x, y = trial.suggest_int("x", 0, 9), trial.suggest_float("y", 0.0, 1.0)
        if x == 5:
            raise optuna.TrialPruned
        return (x - 3) ** 2 + y, y

    study.optimize(objective, n_trials=150)
    assert min(t.values[0] for t in study.best_trials) <= 0.125
    assert any(t.state.name == "PRUNED" for t in study.trials)


def test_options_of_distributions_are_ordered_and_within_bounds():
    floats = options_of("x", optuna.distributions.FloatDistribution(1e-4, 1.0, log=True))
    assert list(floats) == sorted(floats) and floats[0] == pytest.approx(1e-4) and floats[-1] == pytest.approx(1.0)
    assert options_of("x", optuna.distributions.FloatDistribution(0.0, 1.0, step=0.25)) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert options_of("x", optuna.distributions.IntDistribution(2, 11, step=3)) == (2, 5, 8, 11)


def test_suggestions_outside_the_constraints_become_members():
    problem = toy_problem(limited_space())
    trials = Loop(sampler_strategy("tpe", problem, seed=0), problem).until(60, 2)
    assert problem.space.is_member(problem.space.codes([t.candidate.architecture for t in trials])).all()


def test_an_unknown_sampler_is_named_with_its_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'tpe'"):
        sampler_strategy("tpa", toy_problem())


def test_a_run_opens_as_a_study(tmp_path):
    problem = toy_problem(wide_space(), Objective("error_percent"), Objective("params_m", "maximize"))
    trials = list(Loop(get("strategies", "random")(problem, seed=0), problem).until(12, 4))
    broken = trials[3]
    trials[3] = Trial(broken.number, broken.candidate, "failed", {}, 0.0, "it broke")
    to_study(problem, trials, storage_at(tmp_path / "run.log"), name="first")
    study = optuna.load_study(study_name="first", storage=storage_at(tmp_path / "run.log"))
    assert len(study.trials) == 12 and study.trials[3].user_attrs["error"] == "it broke"
    assert study.trials[5].values == [trials[5].metrics["error_percent"], trials[5].metrics["params_m"]]
    assert study.directions[1].name == "MAXIMIZE"
