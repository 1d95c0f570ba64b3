"""Equivalent architectures are evaluated once: functional equivalence caching around any evaluator.

Gillard et al., "Unified Functional Hashing in Automatic Machine Learning" (2023), section 3 (FEC). A hit returns the
numbers of the first architecture with the same key, so wrap what trains, and leave cost models, for which a dead branch
still costs, outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.search.problem import Columns, Evaluator
from archwright.space import Architecture, Architectures

FILE = "equivalent.jsonl"


@register(
    "evaluators",
    "cached",
    labels={"cost": "of what is wrapped, once a key", "survey": ["acceleration: stored results"]},
)
class CachedEvaluator:
    """Calls another evaluator once for each key and fidelity.

    A hit costs nothing: its `simulated_s` is 0. In a run the cache is kept beside the checkpoints, so that a resumed
    run goes on with it. An evaluator whose results change with the seed gives what the first call of a key gave.

    Args:
        evaluator: whose results are shared.
        key: of an architecture; `FunctionalHash(input_shape)` or `lambda a: a.digest`.
    """

    def __init__(self, evaluator: Evaluator, key: Callable[[Architecture], str]) -> None:
        self.evaluator, self.key = evaluator, key
        self.metrics: tuple[str, ...] = tuple(evaluator.metrics)
        self.deterministic = evaluator.deterministic
        self.batched = bool(getattr(evaluator, "batched", False))
        self.cheap = bool(getattr(evaluator, "cheap", False))
        self.queries = self.hits = 0
        self._known: dict[tuple[str, float], dict[str, float]] = {}
        self._file: Path | None = None

    def prepare(self, folder: Path | None) -> None:
        """Read what an earlier part of the run has stored; called before the first trial."""
        inner = getattr(self.evaluator, "prepare", None)
        if inner is not None:
            inner(folder)
        if folder is None:
            return
        self._file = Path(folder) / FILE
        if not self._file.is_file():
            return
        text = self._file.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # cut off in the middle of a write: that architecture is evaluated again
            self._file.write_text(whole, encoding="utf-8")
        for number, line in enumerate(whole.splitlines()):
            try:
                row = json.loads(line)
                self._known[row["key"], row["fidelity"]] = row["metrics"]
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(
                    f"line {number + 1} of {self._file} is not a cached result ({error}); delete the file to start anew"
                ) from error

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Evaluate the architectures with new keys, see `Evaluator.evaluate`."""
        keys = [(self.key(architecture), fidelity) for architecture in architectures]
        first: dict[tuple[str, float], int] = {}
        for i, key in enumerate(keys):
            if key not in self._known:
                first.setdefault(key, i)
        if first:
            places = list(first.values())
            columns = self.evaluator.evaluate(architectures[places], fidelity=fidelity, seed=seed)
            rows = [{m: float(values[j]) for m, values in columns.items()} for j in range(len(places))]
            self._store(dict(zip(first, rows, strict=True)))
        self.queries += len(keys)
        self.hits += len(keys) - len(first)
        new = set(first.values())
        found = [self._known[key] for key in keys]
        names = dict.fromkeys([*self.metrics, *(m for row in found for m in row)])
        out = {m: np.array([row.get(m, np.nan) for row in found], dtype=np.float64) for m in names}
        if "simulated_s" in out:
            out["simulated_s"][[i for i in range(len(keys)) if i not in new]] = 0.0
        return out

    def _store(self, rows: dict[tuple[str, float], dict[str, float]]) -> None:
        self._known |= rows
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            for (key, fidelity), metrics in rows.items():
                file.write(json.dumps({"key": key, "fidelity": fidelity, "metrics": metrics}) + "\n")
