"""A table of one's own: every member of a small space trained with one recipe and several seeds on one task.

Yang et al., "NAS evaluation is frustratingly hard" (2020), sections 3 and 4: methods are comparable where all
architectures, those of the random baseline included, are trained by the same recipe. A query returns the validation
score of the first seed, comparisons are scored on the mean test score of all seeds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.errors import ConfigurationError
from archwright.nets.recipe import Recipe
from archwright.space import Space
from archwright.tasks.base import Task


def tabulate(
    space: Space, task: Task, *, recipe: Recipe, file: Path | str, seeds: int = 3, stop_after_s: float = np.inf
) -> TableBenchmark:
    """Train what is missing in a file of trainings, then answer from it.

    Args:
        space: small enough to train all of it.
        task: with a validation and a test part.
        recipe: of every training.
        file: one line a training; what it holds is not trained again.
        seeds: trainings of each member.
        stop_after_s: seconds after which no further training is begun.

    Raises:
        ConfigurationError: if the file was made with other settings, or trainings are missing when the time is over.
    """
    members = space.enumerate()
    codes = members.codes[np.lexsort(members.codes.T[::-1])]
    jobs = [(row, seed) for seed in range(seeds) for row in range(len(codes))]
    head = {"space": space.digest, "task": task.name, "recipe": recipe.to_json()}
    done = dict(_read(Path(file), head))
    began = time.monotonic()
    with Path(file).open("a", encoding="utf-8") as out:
        for row, seed in jobs:
            if (row, seed) in done:
                continue
            if time.monotonic() - began > stop_after_s:
                left = sum(job not in done for job in jobs)
                raise ConfigurationError(f"{left} of {len(jobs)} trainings are left; call again to go on with {file}")
            done[row, seed] = _trained(space, codes[row], task, recipe, seed)
            out.write(json.dumps([row, seed, *done[row, seed]]) + "\n")
            out.flush()
    values = np.array([[done[row, seed] for seed in range(seeds)] for row in range(len(codes))])  # (rows, seeds, 3)
    columns = {"valid": values[:, 0, 0], "test": values[:, :, 1].mean(axis=1), "seconds": values[:, 0, 2]}

    def column(name: str) -> Measured:
        return Measured(str(file), name, opened=lambda _: columns)

    return TableBenchmark(
        name=f"{task.name}, trained",
        make_space=lambda: space,
        listed=lambda: codes,
        observed={task.metric: column("valid")},
        truth={task.metric: column("test")},
        goal=task.metric,
        maximize=task.maximize,
        seconds={1.0: column("seconds")},
        note=f"all {len(codes)} members, {seeds} seeds",
    )


def _trained(space: Space, code: np.ndarray, task: Task, recipe: Recipe, seed: int) -> tuple[float, float, float]:
    """Validation score, test score and CPU seconds of one training."""
    from archwright.nets.build import build
    from archwright.nets.train import evaluate, train

    net = build(space.architectures(code[None])[0], task.input_shape, seed=seed)
    began = time.process_time()
    train(net, task, recipe, seed=seed)
    seconds = time.process_time() - began
    return evaluate(net, task, "valid")[task.metric], evaluate(net, task, "test")[task.metric], round(seconds, 3)


def _read(path: Path, head: dict[str, Any]) -> Iterator[tuple[tuple[int, int], tuple[float, float, float]]]:
    """(row, seed) -> scores of a file; a new file gets its first line, a line cut off by a stop is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1] or json.dumps(head) + "\n"
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    first, *lines = whole.splitlines()
    if json.loads(first) != json.loads(json.dumps(head)):
        raise ConfigurationError(f"{path} was made with another space, task or recipe; name another file")
    for line in lines:
        row, seed, valid, test, seconds = json.loads(line)
        yield (row, seed), (valid, test, seconds)
