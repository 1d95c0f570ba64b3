"""From a co-design configuration to objects: spaces, accuracies, the problem; faults are found before work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archwright.codesign.accuracy import Accuracy, JointAccuracy, from_supernet, from_table
from archwright.codesign.config import CoDesignConfig, TaskConfig
from archwright.codesign.design import CoDesign
from archwright.codesign.joint import codesign_space
from archwright.errors import ConfigurationError, SpaceError, nearest
from archwright.operators.base import Shape
from archwright.search.problem import Problem
from archwright.space import Space

LISTED = 1 << 20  # rows of a table up to which its most accurate networks are looked up


@dataclass
class Supernet:
    """Accuracies of one task inherited from a supernet; `train` comes before the first question."""

    name: str
    task: Any
    space: Space
    epochs: int
    seed: int
    _accuracy: Accuracy | None = None

    def train(self, folder: Path, say: Callable[[str], None]) -> None:
        """Train on the task's data, or take what `folder` keeps; a checkpoint every epoch."""
        import torch

        from archwright.evaluators.inherited import InheritedEvaluator
        from archwright.nets.checkpoint import TrainState
        from archwright.nets.recipe import Recipe
        from archwright.nets.supernet import Supernet as Weights
        from archwright.nets.train_supernet import train_supernet

        torch.manual_seed(self.seed)
        weights = Weights(self.space, self.task.input_shape)
        path = folder / f"supernet-{self.name}.safetensors"
        state = TrainState.load(path) if path.exists() else None

        def on_epoch(record: Mapping[str, Any], state_of: Any) -> bool:
            state_of().save(path)
            say(f"epoch {record['epoch']} of {self.epochs}, loss {record['loss']:.3f}")
            return False

        recipe = Recipe(epochs=self.epochs, weight_decay=0.01, lr=1e-2)
        train_supernet(weights, self.task, recipe, seed=self.seed, state=state, on_epoch=on_epoch)
        samples = min(len(self.task.valid), 2000)
        evaluator = InheritedEvaluator(weights, self.task, samples=samples, seed=self.seed)
        self._accuracy = from_supernet(evaluator, self.space)

    def accuracy(self, codes: np.ndarray) -> np.ndarray:
        """Valid accuracy of subnets, percent (n,).

        Raises:
            ConfigurationError: before the training.
        """
        if self._accuracy is None:
            raise ConfigurationError(f"the supernet of the task {self.name!r} is not trained yet; call train first")
        return self._accuracy(codes)


@dataclass(frozen=True)
class Setup:
    """What a run is about."""

    config: CoDesignConfig
    space: Space
    tasks: Mapping[str, Space]
    problem: Problem
    cost: CoDesign
    tables: Mapping[str, Any] = field(default_factory=dict)
    supernets: tuple[Supernet, ...] = ()

    def accurate(self, most: int = 8) -> dict[str, np.ndarray]:
        """Task -> codes of the most accurate networks that its table lists."""
        found = {}
        for name, table in self.tables.items():
            if len(table.codes) <= LISTED:
                values = table.read("accuracy_percent", np.arange(len(table.codes)), true=True)
                order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
                found[name] = table.codes[order[:most]]
        return found


def prepare(config: CoDesignConfig) -> Setup:
    """Spaces, evaluators and the problem.

    Raises:
        ConfigurationError: if a table, a metric or a strategy is unknown, or the data cannot be read.
        SpaceError: if networks do not take the inputs.
    """
    from archwright import registry

    known = ("joint", *registry.names("strategies"))
    if config.strategy not in known:
        raise ConfigurationError(f"unknown strategy {config.strategy!r}; {nearest(config.strategy, known)}")
    tasks: dict[str, Space] = {}
    shapes: dict[str, Shape] = {}
    accuracy: dict[str, Accuracy] = {}
    tables: dict[str, Any] = {}
    supernets: list[Supernet] = []
    config = config.model_copy(update={"tasks": {n: _settled(t) for n, t in config.tasks.items()}})
    for name, task in config.tasks.items():
        if task.table is not None:
            from archwright.benchmarks.table import load

            table = tables[name] = load(task.table)
            if "accuracy_percent" not in table.observed:
                raise ConfigurationError(f"the table {task.table!r} lists no accuracy_percent; choose another")
            tasks[name], shapes[name], accuracy[name] = table.space, tuple(task.input or ()), from_table(table)
        else:
            supernet, shapes[name] = _supernet(name, task, config.seed)
            tasks[name], accuracy[name] = supernet.space, supernet.accuracy
            supernets.append(supernet)
    space = codesign_space(tasks, [a.choices() for a in config.accelerators], **config.totals())
    cost = _cost(config, space, tasks, shapes)
    problem = Problem(space, config.objectives(), (cost, JointAccuracy(space, tasks, accuracy)))
    return Setup(config, space, tasks, problem, cost, tables, tuple(supernets))


def _settled(task: TaskConfig) -> TaskConfig:
    """Files under their full paths, so that a run can be continued from another folder."""
    changes = {}
    for key in ("space", "data"):
        value = getattr(task, key)
        if value is not None and ("/" in value or "." in value) and Path(value).expanduser().exists():
            changes[key] = str(Path(value).expanduser().resolve())
    return task.model_copy(update=changes) if changes else task


def _supernet(name: str, config: TaskConfig, seed: int) -> tuple[Supernet, Shape]:
    from archwright.job.spaces import check_fit, load_space
    from archwright.tasks import load

    task = load(str(config.data), **config.data_options)
    if "accuracy_percent" not in task.metrics:
        raise ConfigurationError(
            f"the task {name!r} is judged by {task.metric}; co-design compares accuracies, so it needs classes"
        )
    space = load_space(config.space, task.input_shape, task.outputs)
    faulty = check_fit(space, task.input_shape, task.output_shape)
    if faulty:
        raise SpaceError(f"the task {name!r} needs a space whose networks can all be built: {faulty}")
    return Supernet(name, task, space, config.supernet_epochs, seed), task.input_shape


def _cost(config: CoDesignConfig, space: Space, tasks: Mapping[str, Space], shapes: Mapping[str, Shape]) -> CoDesign:
    bounds = {o.metric: o.at_most for o in config.objectives() if o.at_most is not None}
    cost = CoDesign(
        space, tasks, shapes, technology=config.tech(), latency_limit_ms=bounds.get("latency_ms", np.inf),
        area_limit_mm2=bounds.get("area_mm2", np.inf),
    )  # fmt: skip
    try:
        cost.evaluate(space.sample(8, np.random.default_rng(0)).codes)
    except SpaceError as error:
        inputs = json.dumps({n: list(s) for n, s in shapes.items()})
        raise SpaceError(f"networks do not take inputs of the shapes {inputs}: {error}") from error
    return cost
