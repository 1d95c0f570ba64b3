"""Agents on the memory controller space under one sample budget: best reward, samples to the target, lottery, proxy.

    OMP_NUM_THREADS=1 python benchmarks/dse_agents.py [--seeds 5] [--trials 300] [--no-write]

Task: low latency and low energy on a stream and a random trace. Targets are set from a uniform sample of 400 designs:
its 1 % quantile of each. `reached` counts trials until the reward is within 0.005 of the best that any
run found. The lottery repeats each agent over hyper-parameters (first seed). The
rate and round of the multi-agent policies were chosen on a proxy of the stream task; the random task is unseen. All
trials together are the dataset of a proxy model.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from common import finish

from archwright.environments.proxy import Proxy
from archwright.environments.reward import Target
from archwright.environments.targeted import design_problem
from archwright.registry import get
from archwright.search.trial import Trial
from archwright.simulators.dram import controller_space
from archwright.space import Space

METRICS = ("latency_ns", "energy_uj")
AGENTS: dict[str, list[dict[str, Any]]] = {
    "random": [{}],
    "genetic": [{}],
    "ant_colony": [{}],
    "bayesian": [{}, {"starts": 20}, {"labels": 64}],
    "regularized_evolution": [{"population": 20, "sample": 5}, {}, {"population": 50, "sample": 10}],
    "reinforce": [{}, {"rate": 5e-4}, {"rate": 2e-2}, {"round_size": 40}, {"entropy": 0.1}],
    "ppo": [{}, {"rate": 3e-4}, {"rate": 2e-2}, {"round_size": 10}, {"entropy": 0.1}],
    "multi_agent_ppo": [{}, {"rate": 0.5}, {"rate": 2.0}, {"round_size": 20}, {"entropy": 0.1}, {"clip": 0.05}],
}


def trajectory(problem: Any, name: str, seed: int, trials: int, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """Codes and columns of one agent's trials, in order."""
    strategy = get("strategies", name)(problem, seed=seed, **options)
    cost, number = problem.evaluators[0], 0
    codes, columns = [], {m: [] for m in cost.metrics}
    while number < trials:
        asked = strategy.ask(min(getattr(strategy, "batch", 10), trials - number))
        if not asked:
            break
        batch = np.stack([c.architecture.code for c in asked])
        found = cost.evaluate(batch)
        strategy.tell(
            [Trial(number + i, c, "complete", {m: float(v[i]) for m, v in found.items()}) for i, c in enumerate(asked)]
        )
        number += len(batch)
        codes.append(batch)
        for m, v in found.items():
            columns[m].append(v)
    return {"codes": np.concatenate(codes)} | {m: np.concatenate(v) for m, v in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    space = Space(controller_space())
    results: dict[str, Any] = {}
    dataset: dict[str, list[np.ndarray]] = {}
    for trace, gap in (("stream", 5.0), ("random", 9.0)):  # both near what the memory can serve
        cost = get("costs", "dram_controller")(space, trace=trace, requests=a.requests, gap=gap)
        uniform = space.sample(400, np.random.default_rng(0)).codes
        columns = cost.evaluate(uniform)
        targets = tuple(Target(m, float(np.quantile(columns[m], 0.01))) for m in METRICS)
        problem = design_problem(space, cost, targets)
        start = time.perf_counter()
        runs = {
            name: [trajectory(problem, name, s, a.trials, options[0]) for s in range(a.seeds)]
            for name, options in AGENTS.items()
        }
        top = max(float(r["reward_score"].max()) for rs in runs.values() for r in rs)

        def reached(run: dict[str, np.ndarray], top: float = top) -> int | None:
            hits = np.flatnonzero(run["reward_score"] >= top - 0.005)
            return int(hits[0]) + 1 if len(hits) else None

        lottery = {
            name: [trajectory(problem, name, 0, a.trials, o) for o in options]
            for name, options in AGENTS.items()
            if len(options) > 1
        }
        samples = {name: [reached(r) for r in rs] for name, rs in runs.items()}
        fewer = sum(
            m is not None and (s is None or m < s)
            for m, s in zip(samples["multi_agent_ppo"], samples["ppo"], strict=True)
        )
        results[trace] = {
            "targets": {t.metric: t.value for t in targets},
            "best_reward_of_all": top,
            "best_reward": {n: [float(r["reward_score"].max()) for r in rs] for n, rs in runs.items()},
            "samples_to_target": samples,
            "multi_agent_needs_fewer_samples_than_ppo_in": int(fewer),
            "lottery": {
                n: {
                    "options": AGENTS[n],
                    "best_reward": [float(r["reward_score"].max()) for r in rs],
                    "samples_to_target": [reached(r) for r in rs],
                }
                for n, rs in lottery.items()
            },
            "seconds": time.perf_counter() - start,
        }  # fmt: skip
        if trace == "stream":
            everything = [r for rs in runs.values() for r in rs]
            dataset = {k: [r[k] for r in everything] for k in ("codes", *METRICS)}
            held_out, truth = uniform, columns
    codes = np.concatenate(dataset["codes"])
    _, first = np.unique(codes, axis=0, return_index=True)
    proxy = Proxy(space, METRICS)
    proxy.fit(codes[first], {m: np.concatenate(dataset[m])[first] for m in METRICS})
    figures = {
        "trials": a.trials,
        "seeds": a.seeds,
        "tasks": results,
        "proxy_from_trajectories": {
            "designs": len(first),
            "error_on_uniform_designs": proxy.error_percent(held_out, truth),
        },
    }
    finish("dse_agents", figures, write=not a.no_write)


if __name__ == "__main__":
    main()
