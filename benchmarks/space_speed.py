"""Time of sampling, changing and resolving architectures of an OFA-like space of 46 decisions, on one core.

Prints JSON and, with --out, writes it. The baseline does the same work one architecture at a time in plain Python, in
the same run: `python benchmarks/space_speed.py --out benchmarks/results/space_speed.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from archwright.space import Space, between, constraint, oneof, repeat

N = 10_000
LIMIT_US = 10.0  # what a sampled or mutated architecture may cost


@dataclass(frozen=True)
class MBConv:
    site: ClassVar[str] = ""
    kernel: int = 3
    expand: int = 6


@dataclass(frozen=True)
class Net:
    stages: Any
    resolution: Any


def ofa_tree() -> Net:
    """Five stages of two to four blocks, kernel 3-5-7, expansion 3-4-6, three resolutions (Cai et al., 2020)."""
    stages = tuple(repeat(MBConv(oneof(3, 5, 7), oneof(3, 4, 6)), between(2, 4, name=f"depth{i}")) for i in range(5))
    return Net(stages, oneof(192, 224, 256, name="resolution"))


class PlainSpace:
    """The same space as dicts and loops, as most search scripts write it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def sample(self) -> dict[str, int]:
        made = {"resolution": self.rng.choice((192, 224, 256))}
        for stage in range(5):
            depth = made[f"depth{stage}"] = self.rng.choice((2, 3, 4))
            self.fill(made, stage, depth)
        return made

    def fill(self, made: dict[str, int], stage: int, depth: int) -> None:
        for block in range(4):
            keys = (f"k{stage}_{block}", f"e{stage}_{block}")
            if block >= depth:
                made.pop(keys[0], None)
                made.pop(keys[1], None)
            elif keys[0] not in made:
                made[keys[0]] = self.rng.choice((3, 5, 7))
                made[keys[1]] = self.rng.choice((3, 4, 6))

    def mutate(self, parent: dict[str, int]) -> dict[str, int]:
        made = dict(parent)
        key = self.rng.choice(list(made))
        options = {"r": (192, 224, 256), "d": (2, 3, 4), "k": (3, 5, 7), "e": (3, 4, 6)}[key[0]]
        made[key] = self.rng.choice([o for o in options if o != made[key]])
        if key[0] == "d":
            self.fill(made, int(key[5:]), made[key])
        return made


def us_each(work: Callable[[], Any], n: int, rounds: int = 15) -> dict[str, float]:
    """Median and interquartile range of the microseconds per architecture."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) / n * 1e6)
    low, median, high = statistics.quantiles(times, n=4)
    return {"median_us": round(median, 4), "spread_us": round(high - low, 4)}


def measure() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    space = Space(ofa_tree())
    parents, others = space.sample(N, rng), space.sample(N, rng)
    rule = constraint(lambda *d: sum(d) <= 12, *(f"depth{i}" for i in range(5)), message="at most 12 blocks")
    tied = Space(ofa_tree(), rule)
    tied_parents = tied.sample(N, rng)
    plain = PlainSpace(random.Random(0))
    plain_parents = [plain.sample() for _ in range(N)]
    few = parents[:2000]
    times = {
        "sample": us_each(lambda: space.sample(N, rng), N),
        "mutate": us_each(lambda: space.mutate(parents, rng), N),
        "crossover": us_each(lambda: space.crossover(parents, others, rng), N),
        "is_member": us_each(lambda: space.is_member(parents.codes), N),
        "one_hot": us_each(lambda: space.one_hot(parents.codes), N),
        "sample_uniform": us_each(lambda: space.sample(N, rng, uniform=True), N),
        "sample_constrained": us_each(lambda: tied.sample(N, rng), N),
        "mutate_constrained": us_each(lambda: tied.mutate(tied_parents, rng), N),
        "plain_python_sample": us_each(lambda: [plain.sample() for _ in range(N)], N, rounds=5),
        "plain_python_mutate": us_each(lambda: [plain.mutate(p) for p in plain_parents], N, rounds=5),
        "tree": us_each(lambda: [space.resolve(c) for c in few.codes], len(few)),
        "digest": us_each(lambda: [a.digest for a in few], len(few)),
        "compile_and_count": us_each(lambda: Space(ofa_tree()).size(), 1),
    }
    ratio = {k: round(times[f"plain_python_{k}"]["median_us"] / times[k]["median_us"], 2) for k in ("sample", "mutate")}
    return {
        "space": {"decisions": len(space.decisions), "size": str(space.size()), "size_constrained": str(tied.size())},
        "architectures": N,
        "times": times,
        "faster_than_plain_python": ratio,
        "limit_us": LIMIT_US,
        "within_limit": {k: times[k]["median_us"] <= LIMIT_US for k in ("sample", "mutate")},
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "numpy": np.__version__,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(), indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
