"""Private inference of networks: local work, bytes and round trips (counts in `mpc.py`).

Known error: kernels are taken one after another, as a compiler without round batching would run them.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from archwright.costs import mpc
from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.kernels import ELEMENTWISE, Kernels, kernels_of
from archwright.costs.workload import OperatorRows
from archwright.errors import ConfigurationError
from archwright.operators.base import Shape
from archwright.registry import register
from archwright.space import Space

# kernels that are free on shares: sums, copies, and scalings by public numbers
FREE = frozenset({"add", "add_", "sub", "sum", "clone", "cat", "index", "mul_scalar", "mean", "avg_pool2d",
                  "_adaptive_avg_pool2d", "native_batch_norm", "_native_batch_norm_legit_no_training",
                  "constant_pad_nd"})  # fmt: skip


@register("costs", "mpc", labels={"estimation": "analytic"})
class Mpc(AdditiveCost):
    """Seconds, megabytes and round trips of two-party inference.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input.
        network: (bytes per second, round trip in seconds); the default is a wide-area link.
        protocol: counts of the protocol.
    """

    metrics: ClassVar[tuple[str, ...]] = ("latency_ms", "sent_mb", "rounds_count")

    def __init__(
        self,
        space: Space,
        *input_shapes: Shape,
        network: tuple[float, float] = (44e6, 0.04),
        protocol: mpc.Protocol | None = None,
    ) -> None:
        super().__init__(space, *input_shapes)
        if not (network[0] > 0 and network[1] >= 0):
            raise ConfigurationError(f"a network is (bytes per second > 0, round trip in seconds >= 0), got {network}")
        self.network = mpc.Network(*network)
        self.protocol = mpc.Protocol() if protocol is None else protocol

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Messages of each row's kernels."""
        k = kernels_of(rows)
        ops = [self._op(k, i) for i in range(len(k))]
        rounds = np.array([float(o.rounds) for o in ops])
        sent = np.array([float(o.sent_b) for o in ops])
        seconds = np.array([float(o.seconds(self.protocol, self.network)) for o in ops])
        values = {"latency_ms": 1e3 * seconds, "sent_mb": sent / 1e6, "rounds_count": rounds}
        return {m: k.sum_rows(v, len(rows)) for m, v in values.items()}

    def _op(self, k: Kernels, i: int) -> mpc.Op:
        p, name, elements, length = self.protocol, k.names[i], float(k.outputs[i]), float(k.channels[i])
        if k.kind[i] != ELEMENTWISE:
            products = mpc.product(p, float(k.inputs[i]), float(k.weights[i]), float(k.macs[i]))
            if not name.startswith("_scaled_dot_product"):
                return products
            rows, keys = float(k.out_h[i] * k.repeat[i]), float(k.filters[i])  # both products and what is between them
            return products + mpc.product(p, 0.0, 0.0, 0.0) + mpc.normaliser(p, "softmax", rows, keys)
        public = name in ("mul", "div") and k.inputs[i] <= k.outputs[i]  # by a number that everybody knows
        if name in FREE or public:
            return mpc.Op(0.0, 0.0)
        if name == "div":  # by what nobody knows: one reciprocal for every divisor
            return mpc.reciprocal(p, float(k.inputs[i]) - elements) + mpc.elementwise(p, elements)
        if "softmax" in name:
            return mpc.normaliser(p, "softmax", elements / length, length)
        if name in ("relu", "relu_", "clamp", "hardtanh", "threshold", "leaky_relu"):
            return mpc.relu(p, elements)
        if name in ("gelu", "silu", "hardswish", "sigmoid", "tanh", "elu"):
            return mpc.gelu(p, elements)
        if "max_pool" in name:
            return mpc.maximum_of(p, elements, max(float(k.inputs[i]) / elements, 2.0))
        if "layer_norm" in name or "group_norm" in name:
            return mpc.elementwise(p, elements) + mpc.reciprocal(p, elements / length)
        return mpc.elementwise(p, elements)
