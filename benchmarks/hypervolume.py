"""Hypervolume of (test error, measured latency) after equal wall time, archwright's default job against its peers.

The peers train from scratch what random sampling and Optuna's NSGA-II propose.

All share space, data, machine, training recipe and latency protocol, and run one after the other on one thread; the job
leaves out the random search that its report shows beside it. Networks count as delivered: trained weights, error on the
test part, latency measured anew after the searches of a seed, the networks of all methods in turns, so that what else
the machine does slows all alike (that measurement is not in anybody's time). The reference point is the nadir of the
union of the fronts of all runs, that is the worst error and the worst latency on any of them.

`python benchmarks/hypervolume.py --data digits --seconds 60`

`--first 3 --seeds 2` runs seeds 3 and 4 only; `--join A.json B.json --seeds 0` puts such results together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish, write

from archwright.evaluators.inherited import InheritedEvaluator
from archwright.evaluators.train import TrainEvaluator
from archwright.job.config import check
from archwright.job.run import run_job
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import Protocol
from archwright.nets import Supernet, build
from archwright.nets.checkpoint import TrainState, restore_net
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.search.pareto import front_mask, hypervolume
from archwright.spaces.convnet import convnet
from archwright.tasks import load

Delivered = list[tuple[Any, torch.nn.Module]]  # architecture, trained network


def by_archwright(task: Any, space: Any, seconds: float, seed: int, epochs: int) -> Delivered:
    """The default job: its finalists, and its front as the search left it."""
    with tempfile.TemporaryDirectory() as folder:
        config = check(
            {
                "maximize": ["accuracy_percent"], "minimize": ["latency_ms"], "budget": f"{seconds:g}s", "seed": seed,
                "out": str(Path(folder) / "run"), "epochs": epochs, "baseline": False,
            }
        )  # fmt: skip
        job = run_job(config, task=task, space=space)
        kept = Path(folder) / "run" / "checkpoint"
        quality = _quality(task, space, kept)
        found: Delivered = []
        front = {t.number for t in job.result.front}
        for trial in job.result.trials:
            architecture = trial.candidate.architecture
            tuned = kept / f"finalist{trial.number}.safetensors"
            if tuned.exists():
                net = build(architecture, task.input_shape)
                restore_net(net, TrainState.load(tuned).part("net"), "finalist")
                found.append((architecture, net))
            elif trial.number in front:
                found.append((architecture, quality.network(architecture)))
        return found


def _quality(task: Any, space: Any, kept: Path) -> Any:
    """What a job's search evaluated with: shared weights, or trainings where there was no time for those."""
    if not (kept / "supernet.done").exists():
        return TrainEvaluator(task, folder=kept / "trials", keep=True)
    supernet = Supernet(space, task.input_shape)
    restore_net(supernet, TrainState.load(kept / "supernet.safetensors").part("net"), "supernet")
    return InheritedEvaluator(supernet, task)


def by_training(task: Any, space: Any, seconds: float, seed: int, epochs: int, propose: Any) -> Delivered:
    """Train what is proposed from scratch and measure it, until the time is over."""
    meter = LatencyMeter("onnxruntime", protocol=Protocol(seconds=0.1))
    began, found = time.monotonic(), []
    ask, tell = propose(space, seed)
    while time.monotonic() - began < seconds:
        architecture = ask()
        net = build(architecture, task.input_shape, seed=seed)
        train(net, task, Recipe(epochs=epochs), seed=seed)
        accuracy = evaluate(net, task, "valid")["accuracy_percent"]
        tell(accuracy, meter.measure([net], task.input_shape)[0].median_ms)
        found.append((architecture, net))
    return found


def random_proposals(space: Any, seed: int) -> Any:
    """Uniform random architectures."""
    rng = np.random.default_rng(seed)
    return (lambda: space.sample(1, rng)[0]), (lambda *values: None)


def optuna_proposals(space: Any, seed: int) -> Any:
    """Optuna's NSGA-II with its defaults; one categorical a decision."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=seed))
    current: list[Any] = []

    def ask() -> Any:
        trial = study.ask()
        current[:] = [trial]
        codes = [trial.suggest_int(f"d{d.index}", 0, d.size - 1) for d in space.decisions]
        return space.architectures(space.canonical(np.array([codes], dtype=np.int16)))[0]

    def tell(*values: float) -> None:
        study.tell(current[0], values)

    return ask, tell


def scored(task: Any, delivered: Mapping[str, Delivered]) -> dict[str, np.ndarray]:
    """(n, 2) of each method: test error in percent, latency in ms; the networks of all are measured in turns."""
    nets = [net for found in delivered.values() for _, net in found]
    errors = [evaluate(net, task, "test")["error_percent"] for net in nets]
    meter = LatencyMeter("onnxruntime", protocol=Protocol(seconds=0.2))
    latency = [r.median_ms for r in meter.measure(nets, task.input_shape)]
    both = np.stack([errors, latency], axis=1)
    ends = np.cumsum([len(found) for found in delivered.values()])
    return dict(zip(delivered, np.split(both, ends[:-1]), strict=True))


def error_within(points: np.ndarray, budget: float) -> float:
    """Least error among networks within a latency budget."""
    inside = points[points[:, 1] <= budget, 0]
    return float(inside.min()) if len(inside) else float("inf")


def main() -> None:
    """Run every method with every seed and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--join", nargs="*", default=[], type=Path, help="results whose seeds come before")
    parser.add_argument("--epochs", type=int, default=12, help="of a training, as the time allows")
    parser.add_argument("--peer-epochs", type=int, help="of the peers' trainings, which do not know the time")
    given = parser.parse_args()
    alone = given.peer_epochs or given.epochs
    settings = {k: v for k, v in vars(given).items() if k != "join"}
    torch.set_num_threads(1)
    task = load(given.data)
    space = convnet(task.input_shape, task.outputs)
    methods = {
        "archwright": lambda s: by_archwright(task, space, given.seconds, s, given.epochs),
        "random, from scratch": lambda s: by_training(task, space, given.seconds, s, alone, random_proposals),
        "optuna nsga2, from scratch": lambda s: by_training(task, space, given.seconds, s, alone, optuna_proposals),
    }
    points: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for path in given.join:
        before = json.loads(path.read_text())
        if before["settings"]["seconds"] != given.seconds:
            raise SystemExit(
                f"{path} was run with {before['settings']['seconds']:g} s, give --seconds {given.seconds:g}"
            )
        for name in methods:
            points[name] += [np.array(p) for p in before["points"][name]]
            spent[name] += before["seconds"][name]
    for seed in range(given.first, given.first + given.seeds):
        delivered: dict[str, Delivered] = {}
        for name, method in methods.items():
            began = time.monotonic()
            delivered[name] = method(seed)
            spent[name].append(round(time.monotonic() - began, 1))
            print(f"seed {seed}, {name}: {len(delivered[name])} networks in {spent[name][-1]} s", flush=True)
        for name, found in scored(task, delivered).items():
            points[name].append(found)
        write(f"hypervolume_{given.data}", {"settings": settings, **compare(points), "seconds": spent})
    finish(f"hypervolume_{given.data}", {"settings": settings, **compare(points), "seconds": spent})


def compare(points: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Hypervolumes, ratios and errors at the latency budget, the lower quartile of all delivered latencies."""
    everything = np.concatenate([p for runs in points.values() for p in runs])
    fronts = [p[front_mask(p)] for runs in points.values() for p in runs]
    reference = np.concatenate(fronts).max(axis=0)
    budget = float(np.quantile(everything[:, 1], 0.25))
    volumes = {n: [float(hypervolume(p, reference)) for p in runs] for n, runs in points.items()}
    errors = {n: [error_within(p, budget) for p in runs] for n, runs in points.items()}
    peers = [n for n in points if n != "archwright"]
    best = np.max([volumes[n] for n in peers], axis=0)
    ratios = np.array(volumes["archwright"]) / best
    lower = np.array(errors["archwright"]) < np.min([errors[n] for n in peers], axis=0)
    return {
        "networks": {n: [len(p) for p in runs] for n, runs in points.items()},
        "reference_error_percent_latency_ms": reference.round(4).tolist(),
        "hypervolume": {n: np.round(v, 5).tolist() for n, v in volumes.items()},
        "ratio_to_better_peer": ratios.round(3).tolist(),
        "ratio_mean": round(float(np.mean(volumes["archwright"]) / max(np.mean(volumes[n]) for n in peers)), 3),
        "latency_budget_ms": round(budget, 5),
        "error_percent_at_budget": {n: np.round(e, 2).tolist() for n, e in errors.items()},
        "error_lower_in_every_seed": bool(lower.all()),
        "points": {n: [p.round(4).tolist() for p in runs] for n, runs in points.items()},
        "target": "ratio at least 1.3, error at the budget lower in every seed",
    }


if __name__ == "__main__":
    main()
