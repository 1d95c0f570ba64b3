"""Line buffers and memory reads of networks with deformable convolutions (model in `deform.py`)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.deform import deform_cost
from archwright.costs.workload import OperatorRows
from archwright.operators.base import Shape
from archwright.operators.deform_conv import DeformConv
from archwright.registry import register
from archwright.space import Space


@register("costs", "line_buffer", labels={"estimation": "analytic"})
class LineBuffer(AdditiveCost):
    """Megabytes on chip and megabytes read by the sampling of deformable convolutions; other operators cost nothing.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input.
        word_b: bytes of an activation.
    """

    metrics: ClassVar[tuple[str, ...]] = ("line_buffer_mb", "memory_reads_mb")

    def __init__(self, space: Space, *input_shapes: Shape, word_b: float = 2.0) -> None:
        super().__init__(space, *input_shapes)
        self.word_b = word_b

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Elements of each row times the bytes of one."""
        out = np.zeros((2, len(rows)))
        for i, (leaf, shapes) in enumerate(zip(rows.leaves, rows.input_shapes, strict=True)):
            if isinstance(leaf, DeformConv):
                channels, height, width = shapes[0]
                found = deform_cost(
                    float(height), float(width), float(channels), kernel=leaf.kernel, rounded=leaf.rounded,
                    bound=leaf.bound, square=leaf.square, depthwise=leaf.depthwise,
                )  # fmt: skip
                out[:, i] = found.buffer_elements, found.memory_reads
        return dict(zip(self.metrics, out * self.word_b / 1e6, strict=True))
