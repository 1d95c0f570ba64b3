"""A stack of cells that each read the outputs of the two cells before, as in NASNet and DARTS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Example, Operator, Run
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.sequential import flat
from archwright.operators.skip import Skip
from archwright.registry import register


@register("operators", "cell_stack", labels={"family": "composite"})
@dataclass(frozen=True)
class CellStack(Composite):
    """Stem, cells with two inputs, head (Zoph et al., 2018, figure 2; Liu et al., 2019, section 3.1.1).

    The stem's output is both inputs of the first cell; cell k reads the outputs of cells k - 2 and k - 1. An
    `auxiliary` head reads the output of cell `auxiliary_after`.
    """

    stem: Operator
    cells: tuple[Any, ...]
    head: Operator
    auxiliary: Operator | None = None
    auxiliary_after: int = 0

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Pass two values along."""
        cells = list(flat(self.cells))
        if not cells:
            raise SpaceError("CellStack needs at least one cell, got none")
        before = last = run(self.stem, *inputs)
        seen = last
        for i, cell in enumerate(cells):
            before, last = last, run(cell, before, last)
            seen = last if i == self.auxiliary_after else seen
        result = run(self.head, last)
        return result if self.auxiliary is None else run(self.auxiliary, result, seen)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Two small cells."""
        squeeze = Conv(4, kernel=1, activation_first=True)
        cell = Cell((Node((Edge(0, Skip()), Edge(1, Conv(4)))),), 2, "concat", (squeeze, squeeze))
        return [(cls(Conv(6), (cell, cell), Classifier(3)), ((3, 6, 6),))]
