"""Every network of a small space trained once, so that strategies can be compared on real trainings at no cost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from archwright.nets.build import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.space import Architectures
from archwright.tasks.base import Task


class Trained:
    """Accuracies of networks that were trained before.

    Args:
        archs: n of them.
        accuracy: (n,) percent.
    """

    metrics = ("accuracy_percent",)
    deterministic = True
    batched = True

    def __init__(self, archs: Architectures, accuracy: np.ndarray) -> None:
        self._known = dict(zip((code.tobytes() for code in archs.codes), accuracy.tolist(), strict=True))

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
        return {"accuracy_percent": np.array([self._known[code.tobytes()] for code in architectures.codes])}


def trainings(archs: Architectures, task: Task, recipe: Recipe, file: Path, minutes: float) -> np.ndarray:
    """(n, 2) validation and test accuracy of every network, percent.

    Kept line by line in the file; the script stops when the minutes are over and goes on there the next time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"space": archs.space.digest, "recipe": str(recipe), "torch": torch.__version__})
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if lines and lines[0] != head:
        raise SystemExit(f"{file} was made with other settings; name another folder with --work")
    done = [json.loads(line) for line in lines[1:]]
    deadline = time.monotonic() + 60 * minutes
    with file.open("a", encoding="utf-8") as out:
        if not lines:
            out.write(head + "\n")
        for i in range(len(done), len(archs)):
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(archs) - i} trainings are left; run the same command again")
            net = build(archs[i], task.input_shape, seed=0)
            train(net, task, recipe, seed=0)
            done.append([evaluate(net, task, part)["accuracy_percent"] for part in ("valid", "test")])
            out.write(json.dumps(done[-1]) + "\n")
            out.flush()
    return np.array(done)
