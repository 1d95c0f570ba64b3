"""Search over decoder shapes: the platform's sizing rules as a limit, and partly filled tiles in the latency."""

import numpy as np
import pytest

from archwright.costs.decoder import Decoder
from archwright.registry import get
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof

# about one shape in a hundred keeps all rules of the MI300X
SHAPES = Space(
    Decoder(
        hidden=oneof(*range(2000, 4200, 48)), layers=oneof(16, 20, 24, 28, 32), heads=oneof(16, 24, 32), kv_heads=8,
        head_dim=oneof(80, 96, 112, 125, 128), ffn=oneof(*range(6000, 15000, 250), *range(6144, 14848, 512)), gates=2,
        vocab=oneof(50257, 50304),
    )
)  # fmt: skip
GOALS = (Objective("params_m", "maximize"), Objective("ttft_ms"))


def served(*, tiles=True):
    return get("costs", "llm")(SHAPES, platform="mi300x", batch=8, input_tokens=1024, tiles=tiles)


@pytest.mark.parametrize("seed", [0, 1])
def test_with_the_rules_as_a_limit_the_front_keeps_every_rule(seed):
    rules = Objective("well_sized_share", "limit", at_least=1.0)
    found = run(Problem(SHAPES, (*GOALS, rules), (served(),)), "nsga2", "1500 trials", seed=seed)
    drawn = served().evaluate(SHAPES.sample(2000, np.random.default_rng(seed)))["well_sized_share"].mean()
    last = np.mean([t.metrics["well_sized_share"] for t in found.trials[-300:]])
    assert drawn < 0.02 and last > 0.5
    assert len(found.front) >= 5
    for trial in found.front:
        shape = trial.candidate.architecture.tree
        assert shape.head_dim == 128 and shape.hidden % 64 == shape.ffn % 64 == shape.vocab % 64 == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_without_a_limit_the_search_leaves_badly_filled_tiles_for_better_ones(seed):
    def slowdown(codes):
        times = [served(tiles=t).evaluate(codes)["ttft_ms"] for t in (True, False)]
        return float(np.mean(times[0] / times[1]))

    found = run(Problem(SHAPES, GOALS, (served(),)), "nsga2", "1500 trials", seed=seed)
    front = np.array([t.candidate.architecture.code for t in found.front])
    drawn = SHAPES.sample(2000, np.random.default_rng(seed)).codes
    blind = run(Problem(SHAPES, GOALS, (served(tiles=False),)), "nsga2", "1500 trials", seed=seed)
    assert slowdown(front) < slowdown(drawn)
    assert slowdown(front) < slowdown(np.array([t.candidate.architecture.code for t in blind.front]))
