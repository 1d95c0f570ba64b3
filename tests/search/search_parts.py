"""Problems that worker processes and subprocesses can import, and a script that is killed."""

import os
import sys
import time
from dataclasses import dataclass

import numpy as np

from archwright.search.problem import Objective, Problem
from archwright.space import Space, oneof
from archwright.testing.strategies import Toy


def space(decisions=8, options=4):
    return Space({f"d{i}": oneof(*range(options)) for i in range(decisions)})


@dataclass
class Slow:
    """A deterministic evaluator that is called once an architecture."""

    seconds: float = 0.0
    calls: int = 0
    metrics = ("error_percent", "params_m")
    deterministic = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        assert len(architectures) == 1
        self.calls += 1
        time.sleep(self.seconds)
        return Toy().evaluate(architectures)


class Noisy:
    """Its number is the seed that it was given, so it shows which trial got which."""

    metrics = ("error_percent",)
    deterministic = False

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        return {"error_percent": np.full(len(architectures), float(seed))}


class Deadly:
    """Ends its process, in one of two ways, for some architectures; raises or returns NaN for others."""

    metrics = ("error_percent", "params_m")
    deterministic = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        columns = Toy().evaluate(architectures)
        first, second = architectures.codes[0, :2].tolist()
        if first == 0 and second == 0:
            os._exit(3)
        if first == 0 and second == 1:
            os.kill(os.getpid(), 9)
        if first == 1:
            raise RuntimeError("the loss\nexploded")
        if first == 2 and second == 0:
            columns["error_percent"][:] = np.nan
        return columns


class Clocked:
    """A batched evaluator whose trials would have cost 1 to 4 simulated hours."""

    metrics = ("error_percent",)
    deterministic = True
    batched = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        hours = 1.0 + architectures.codes[:, 0]
        return {"error_percent": Toy().evaluate(architectures)["error_percent"], "simulated_s": 3600.0 * hours}


class Unloadable:
    metrics = ("error_percent",)
    deterministic = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        return {"error_percent": np.zeros(len(architectures))}

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("no licence on this machine")


def problem(evaluator, *objectives, tree=None):
    return Problem(space() if tree is None else tree, objectives or (Objective("error_percent"),), (evaluator,))


def trajectory(result):
    """What must not depend on when a run was interrupted."""
    rows = sorted(result.trials, key=lambda t: t.number)
    return [
        (
            t.number,
            t.candidate.architecture.key,
            t.candidate.fidelity,
            t.state,
            repr(sorted(t.metrics.items())),
            t.error,
        )
        for t in rows
    ]


def main(folder, strategy, trials, workers):
    """Run in `folder`; each trial takes about a millisecond."""
    from archwright.search.executor import InProcess
    from archwright.search.processes import ProcessPool
    from archwright.search.run import run

    executor = ProcessPool(workers, threads=1) if workers else InProcess()

    def report(new, progress):
        for trial in new:
            os.write(1, f"{trial.number}\n".encode())

    run(problem(Slow(0.001)), strategy, f"{trials} trials", folder, executor, [report], seed=3)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
