"""Ranges of activations: what integers with one scale a tensor will lose, predicted from peaks and measured.

A tensor with peak p and root mean square r, rounded to b bits under one symmetric scale, has a step of
p / (2^(b-1) - 1) and a relative squared error near step^2 / 12 r^2 (uniform noise; Jacob et al., 2018, section 3).
AutoNeural (Chen et al., 2025) chooses encoders for integer NPUs by such ranges. The prediction ignores how errors meet
later in the network; `quantization_error` measures that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError


@dataclass(frozen=True)
class ActivationRange:
    """What a layer's output looked like over a calibration batch."""

    layer: str
    peak: float
    rms: float

    @property
    def crest(self) -> float:
        """Peak over root mean square."""
        return self.peak / self.rms

    def predicted_error(self, bits: int = 8) -> float:
        """Relative squared error of rounding under one scale."""
        return float((self.crest / (2 ** (bits - 1) - 1)) ** 2 / 12)


def activation_ranges(net: nn.Module, *inputs: Tensor) -> list[ActivationRange]:
    """Range of the output of every layer that computes something, in the order they run.

    Args:
        net: any network; it is run once in evaluation mode, and left in the mode that it was in.
        inputs: a calibration batch.
    """
    found: list[ActivationRange] = []

    def read(name: str, y: Tensor) -> Tensor:
        rms = float(y.square().mean().sqrt())
        if rms > 0:
            found.append(ActivationRange(name, float(y.abs().max()), rms))
        return y

    with _outputs(net, read), torch.no_grad():
        net(*inputs)
    if not found:
        raise ConfigurationError("expected a network with layers whose outputs are not all zero")
    return found


def range_statistic_db(ranges: list[ActivationRange], bits: int = 8) -> float:
    """Mean predicted error over the layers in decibels: lower is better for integers."""
    return float(np.mean([10 * np.log10(r.predicted_error(bits)) for r in ranges]))


def quantization_error(net: nn.Module, calibration: Tensor, inputs: Tensor, bits: int = 8) -> float:
    """Relative squared error of the outputs on `inputs` when every layer's output has `bits` bits.

    Scales are fixed, from the peaks of `calibration`, one a tensor; larger values are clipped.
    """
    peaks = {r.layer: r.peak for r in activation_ranges(net, calibration)}
    top = 2 ** (bits - 1) - 1

    def rounded(name: str, y: Tensor) -> Tensor:
        if name not in peaks:
            return y
        step = peaks[name] / top
        return (y / step).round().clamp(-top, top) * step

    with torch.no_grad():
        with _outputs(net, lambda _, y: y):
            exact = net(inputs)
        with _outputs(net, rounded):
            found = net(inputs)
    return float((found - exact).square().sum() / exact.square().sum())


@contextmanager
def _outputs(net: nn.Module, change: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Evaluation mode, and the output of every module without children passed through `change(name, output)`."""

    def hooked(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda _, given, y: change(name, y) if isinstance(y, Tensor) and y.is_floating_point() else y

    leaves = [(n, m) for n, m in net.named_modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    handles = [m.register_forward_hook(hooked(n)) for n, m in leaves]
    was_training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
