"""The survey's four dimensions: everything stands in a class, and at least two members of each class run here."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from archwright import registry, taxonomy
from archwright.evaluators.cached import CachedEvaluator
from archwright.evaluators.measured import MeasuredLatency
from archwright.evaluators.table import TableEvaluator
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.listing import print_list
from archwright.measure.timing import Protocol
from archwright.proxies import score
from archwright.search.problem import Objective, Problem
from archwright.simulators.dram import controller_space
from archwright.space import Space
from archwright.spaces.nasbench201 import nasbench201
from archwright.tasks import load as load_task
from archwright.testing import strategies as contract

SHAPE = (1, 8, 8)
CELLS = nasbench201(SHAPE, 10, channels=(4,), cells=1)
RNG = np.random.default_rng(0)


def run_space(name: str) -> None:
    labels = registry.entries("spaces")[name].labels
    space = registry.get("spaces", name)((3, 16, 16), 5, **labels.get("small", {}))
    from archwright.nets import build

    assert build(space.sample(1, RNG)[0], (3, 16, 16))(torch.zeros(2, 3, 16, 16)).shape[:2] == (2, 5)


def run_operator(name: str) -> None:
    from archwright.testing import operators

    operators.FAST[0](*registry.get("operators", name).examples()[0])


def run_strategy(name: str) -> None:
    problem = Problem(contract.toy_space(), (Objective("error_percent"),), (contract.Toy(),))
    loop = contract.Loop(registry.get("strategies", name)(problem, seed=0), problem)
    loop.until(12, 4)
    assert len(loop.trials) >= 12


def run_exact(name: str) -> None:
    class Sizes(contract.Toy):
        metrics, cheap = ("params_m", "macs_m", "score"), True

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            total = super().evaluate(architectures)["params_m"]
            return {"params_m": total + 1, "macs_m": total + 1}

    class Error(contract.Toy):
        metrics = ("error_percent",)

    problem = Problem(contract.toy_space(), (Objective("error_percent"),), (Sizes(), Error()))
    loop = contract.Loop(registry.get("strategies", name)(problem), problem)
    loop.until(60, 10)
    assert loop.trials


def run_recipe(name: str) -> None:
    search = GradientSearch(CELLS, load_task("digits"), recipe(name, epochs=1, batch=128), seed=0)
    search.run(random=0)
    assert CELLS.is_member(np.array([search.best["code"]], np.int16)).all()


def run_proxy(name: str) -> None:
    from archwright.nets import build

    x = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert np.isfinite(score(build(CELLS.sample(1, RNG)[0], SHAPE, seed=0), x, torch.arange(8), (name,))[name])


def run_predictor(name: str) -> None:
    some = CELLS.sample(20, RNG)
    mean, spread = registry.get("predictors", name)(CELLS).fit(some, some.codes.sum(1).astype(float)).predict(some)
    assert np.isfinite(mean).all() and mean.shape == spread.shape == (20,)


def run_cost(name: str) -> None:
    cost = registry.get("costs", name)(CELLS, SHAPE)
    assert all(np.isfinite(v).all() for v in cost.evaluate(CELLS.sample(3, RNG)).values())


def run_table(name: str) -> None:
    evaluator = TableEvaluator("digits-conv")
    if name == "cached":
        evaluator = CachedEvaluator(evaluator, lambda a: a.digest)
    some = registry.get("benchmarks", "digits-conv")().space.sample(2, RNG)
    assert evaluator.evaluate(some)["accuracy_percent"].min() > 10


def run_benchmark(name: str) -> None:
    assert registry.get("benchmarks", name)().read("accuracy_percent", np.arange(3)).min() > 10


def run_measured(name: str) -> None:
    meter = MeasuredLatency(SHAPE, backend="torch", protocol=Protocol(seconds=0.01))
    assert meter.evaluate(CELLS.sample(1, RNG))["latency_ms"][0] > 0


def run_dram(name: str) -> None:
    space = Space(controller_space())
    assert (registry.get("costs", name)(space, requests=50).evaluate(space.sample(2, RNG))["latency_ns"] > 0).all()


RUNS = {
    ("spaces", "convnet"): run_space, ("spaces", "mobilenetv3"): run_space,
    ("spaces", "darts"): run_space, ("spaces", "nasbench201"): run_space,
    ("spaces", "autoformer"): run_space, ("spaces", "mixed_attention"): run_space,
    ("operators", "conv"): run_operator, ("operators", "attention"): run_operator,
    ("strategies", "random"): run_strategy, ("strategies", "local_search"): run_strategy,
    ("strategies", "nsga2"): run_strategy, ("strategies", "ant_colony"): run_strategy,
    ("strategies", "bayesian"): run_strategy, ("strategies", "linas"): run_strategy,
    ("strategies", "reinforce"): run_strategy, ("strategies", "mcts"): run_strategy,
    ("strategies", "asha"): run_strategy, ("strategies", "hyperband"): run_strategy,
    ("strategies", "fptas"): run_exact, ("strategies", "milp"): run_exact,
    ("recipes", "darts"): run_recipe, ("recipes", "gdas"): run_recipe,
    ("recipes", "single-stage"): run_recipe, ("recipes", "fairnas"): run_recipe,
    ("proxies", "synflow"): run_proxy, ("proxies", "naswot"): run_proxy,
    ("predictors", "ridge"): run_predictor, ("predictors", "gp"): run_predictor,
    ("costs", "counts"): run_cost, ("costs", "bitops"): run_cost,
    ("evaluators", "table"): run_table, ("evaluators", "cached"): run_table,
    ("benchmarks", "digits-conv"): run_benchmark,
    ("evaluators", "measured"): run_measured, ("costs", "dram_controller"): run_dram,
}  # fmt: skip


SLOW = {"fairnas"}  # its selection evaluates a thousand paths
CASES = [pytest.param(*case, marks=[pytest.mark.slow] * (case[1] in SLOW), id="-".join(case)) for case in RUNS]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_member_runs(kind, name):
    assert name in registry.names(kind)
    RUNS[kind, name](name)


def test_two_members_at_least_of_every_class_run_here():
    found = taxonomy.members()
    assert tuple(found) == taxonomy.DIMENSIONS and all(len(found[d]) >= 3 for d in found)
    for dimension, classes in found.items():
        for name, entries in classes.items():
            tried = [e.name for e in entries if (e.kind, e.name) in RUNS]
            assert len(tried) >= 2, f"{dimension}: {name} runs {tried} of {[e.name for e in entries]}"


@pytest.mark.parametrize("kind", [k for k in registry.KINDS if k not in ("tasks", "exporters")])
def test_everything_that_takes_part_in_a_search_has_a_class_and_the_list_prints_it(kind):
    out = io.StringIO()
    print_list(kind, Console(file=out, width=400))
    shown = out.getvalue()
    for entry in registry.entries(kind).values():
        classes = taxonomy.classes_of(entry)
        assert classes, f"{kind} {entry.name} is in no class of the survey"
        assert all(c.split(": ")[0] in taxonomy.DIMENSIONS for c in classes)
        line = next(i for i, text in enumerate(shown.splitlines()) if text.split()[:1] == [entry.name])
        assert "; ".join(classes) == shown.splitlines()[line + 1].strip()


def test_the_list_of_everything_and_the_page_name_every_class():
    out = io.StringIO()
    print_list(console=Console(file=out, width=400))
    page = (Path(__file__).parents[1] / "docs" / "taxonomy.md").read_text()
    rows = set(re.findall(r"^\| ([a-z -]+) \| ([a-z -]+) \|", page, re.M))
    wanted = {(d, name) for d, classes in taxonomy.members().items() for name in classes}
    assert rows - {("dimension", "class")} == wanted
    assert all(f"{d}: {name} " in out.getvalue() for d, name in wanted)
