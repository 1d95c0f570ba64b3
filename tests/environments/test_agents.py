import numpy as np
import pytest

from archwright.environments.reward import Target
from archwright.environments.targeted import Targeted, design_problem
from archwright.errors import ConfigurationError
from archwright.registry import get
from archwright.search.trial import Trial
from archwright.simulators.dram import controller_space
from archwright.space import Space

SPACE = Space(controller_space())


class Counting:
    """Latency falls with every option number; the last options are best."""

    metrics = ("latency_ns",)
    deterministic = True
    cheap = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        return {"latency_ns": 100.0 - codes.sum(axis=1)}


def drive(strategy, problem, trials):
    seen = []
    while len(seen) < trials:
        asked = strategy.ask(min(strategy.batch, trials - len(seen)))
        columns = problem.evaluators[0].evaluate(np.stack([c.architecture.code for c in asked]))
        told = [
            Trial(len(seen) + i, c, "complete", {m: float(v[i]) for m, v in columns.items()})
            for i, c in enumerate(asked)
        ]
        strategy.tell(told)
        seen += told
    return np.array([t.metrics["reward_score"] for t in seen])


def test_a_targeted_evaluator_adds_the_reward():
    cost = Targeted(Counting(), (Target("latency_ns", 80.0),))
    codes = SPACE.sample(5, np.random.default_rng(0)).codes
    columns = cost.evaluate(codes)
    excess = np.maximum(columns["latency_ns"] / 80 - 1, 0)
    assert np.allclose(columns["reward_score"], -excess / (1 + excess))
    with pytest.raises(ConfigurationError, match="does not measure"):
        Targeted(Counting(), (Target("power_w", 1.0),))


def test_agents_of_all_decisions_learn_the_better_options():
    problem = design_problem(SPACE, Counting(), (Target("latency_ns", 50.0),))
    strategy = get("strategies", "multi_agent_ppo")(problem, seed=0)
    rewards = drive(strategy, problem, 600)
    assert rewards[-100:].mean() > rewards[:100].mean() + 0.03
    large = strategy.logits[3]  # request_buffer_size, eight ordered options
    assert large[-1] > large[0]


def test_the_same_asks_and_tells_give_the_same_designs():
    problem = design_problem(SPACE, Counting(), (Target("latency_ns", 50.0),))
    a, b = (drive(get("strategies", "multi_agent_ppo")(problem, seed=3), problem, 80) for _ in range(2))
    assert np.array_equal(a, b)
