"""A small real search over counted costs, for the tests of the report."""

from __future__ import annotations

from functools import cache

import numpy as np
from export_networks import space

from archwright.nets.build import program_of
from archwright.report.collect import from_result
from archwright.report.data import Calibration, ReportData
from archwright.report.diagram import describe
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run


class Counted:
    """Parameters and multiply-accumulates of every layer, exactly."""

    metrics = ("params_m", "macs_m")
    deterministic = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        rows = []
        for architecture in architectures:
            counts = [s.leaf.counts(*s.input_shapes) for s in program_of(architecture, (1, 8, 8)).steps]
            rows.append((sum(c.params for c in counts) / 1e6, sum(c.macs for c in counts) / 1e6))
        return dict(zip(self.metrics, np.array(rows).T, strict=True))


@cache
def searched(strategy: str = "nsga2", seed: int = 0):
    problem = Problem(space(), (Objective("macs_m", "maximize"), Objective("params_m", at_most=0.02)), (Counted(),))
    return run(problem, strategy, Budget(trials=60), seed=seed)


def filled(**more) -> ReportData:
    """A report with every section."""
    result = searched()
    description = describe(result.best.candidate.architecture, (1, 8, 8))
    size = np.array([t.metrics["params_m"] for t in result.front])
    fields = {
        "title": "counted costs",
        "baselines": {"random search": searched("random", 1)},
        "description": description,
        "predicted": {"macs_m": description.macs / 1e6},
        "measured": {"macs_m": description.macs / 1e6, "params_m": description.params / 1e6},
        "calibrations": (Calibration("params_m", size, size),),
        "command": "archwright search --maximize macs_m --minimize params_m --subject-to 'params_m<=0.02'",
    }
    return from_result(result, **{**fields, **more})
