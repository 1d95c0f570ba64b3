"""Additive costs: write one vectorised method over operator rows; evaluation, explanation and expectation follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from archwright.costs.workload import OperatorRows, Workload, rows_of
from archwright.operators.base import Shape
from archwright.operators.walk import annotate
from archwright.space import Architecture, Architectures, Space

if TYPE_CHECKING:
    from torch import Tensor

Columns = dict[str, np.ndarray]


class AdditiveCost(ABC):
    """A cost that is a sum over operators.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input, without the batch axis.
    """

    metrics: ClassVar[tuple[str, ...]] = ()
    deterministic = True
    cheap = True  # microseconds an architecture: strategies may screen proposals with it

    def __init__(self, space: Space, *input_shapes: Shape) -> None:
        self.space = space
        self.input_shapes = tuple(tuple(s) for s in input_shapes)

    @abstractmethod
    def row_costs(self, rows: OperatorRows) -> Columns:
        """Cost of each row: metric -> float64 (rows,), in the metric's unit."""

    @cached_property
    def _root(self) -> Any:
        return annotate(self.space)

    def workload(self, architectures: Architectures | np.ndarray) -> Workload:
        """Operator rows of a batch of architectures, or of codes (n, decisions)."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        return rows_of(self.space, codes, *self.input_shapes, root=self._root)

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,); rows are costed once, then gathered and summed."""
        work = self.workload(architectures)
        return {metric: work.sum(values) for metric, values in self.row_costs(work.rows).items()}

    def explain(self, architecture: Architecture) -> list[dict[str, Any]]:
        """Cost of each operator of one architecture, in order: site, operator, shapes, and every metric."""
        work = self.workload(np.asarray(architecture.code)[None])
        costs = self.row_costs(work.rows)
        lines = []
        for site, row in zip(work.sites, work.index[0].tolist(), strict=True):
            if row >= 0:
                line: dict[str, Any] = {
                    "site": site,
                    "operator": work.rows.kinds[row],
                    "inputs": work.rows.input_shapes[row],
                    "output": work.rows.output_shapes[row],
                }
                lines.append(line | {metric: float(values[row]) for metric, values in costs.items()})
        return lines

    def expected(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Expected cost under independent decisions, differentiable in the probabilities.

        Args:
            probabilities: decision path -> (options,), summing to 1.

        Returns:
            metric -> scalar tensor.
        """
        from archwright.costs.expected import expected

        return expected(self, self._root, probabilities)

    def bounds(self, samples: int = 4096, seed: int = 0) -> Mapping[str, tuple[float, float]]:
        """Smallest and largest value of each metric over the two extreme architectures and a random sample."""
        rng = np.random.default_rng(seed)
        codes = np.concatenate(
            [self.space.sample(samples, rng).codes, [self.space.smallest().code, self.space.largest().code]]
        )
        return {m: (float(np.nanmin(v)), float(np.nanmax(v))) for m, v in self.evaluate(codes).items()}
