"""Fresh batch-norm statistics for a network whose weights were shared: on a copy, and reported.

The running statistics of a supernet mix those of all its subnets, so a subnet evaluated with them is far below what its
weights can do. The statistics here are plain averages over batches (momentum None), not a moving average that starts
from the stale ones (Yu et al., 2020, section 3.4; Cai et al., 2020, appendix).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.errors import EvaluationError
from archwright.nets.train import device_of, modes_kept
from archwright.tasks.split import Inputs, call, to_device


@dataclass(frozen=True)
class RecalibrationReport:
    """What changed.

    Attributes:
        layers: batch-norm layers with running statistics.
        batches: batches that were seen.
        samples: examples that were seen.
        max_mean_shift: largest change of a running mean, in old standard deviations.
        max_variance_ratio: largest factor between old and new variance of a channel.
    """

    layers: int
    batches: int
    samples: int
    max_mean_shift: float
    max_variance_ratio: float


def recalibrate(
    net: nn.Module, batches: Iterable[tuple[Inputs, Tensor]], *, n: int = 8
) -> tuple[nn.Module, RecalibrationReport]:
    """A copy of a network with batch-norm statistics averaged over n training batches.

    Args:
        net: is left as it is.
        batches: (inputs, targets), such as `task.train.batches(200, rng=rng, shuffle=True)`; targets are not read.
        n: batches to see; fewer if there are no more.

    Raises:
        EvaluationError: if there is no batch, or the statistics are not finite.
    """
    fresh = copy.deepcopy(net)
    return fresh, recalibrate_(fresh, batches, n=n)


@torch.no_grad()
def recalibrate_(net: nn.Module, batches: Iterable[tuple[Inputs, Tensor]], *, n: int = 8) -> RecalibrationReport:
    """As `recalibrate`, in place: for a network that is a copy already, such as an extracted one."""
    layers: list[Any] = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers:
        return RecalibrationReport(0, 0, 0, 0.0, 1.0)
    old = [(_copy(m.running_mean), _copy(m.running_var)) for m in layers]
    momenta = [m.momentum for m in layers]
    seen = samples = 0
    with modes_kept(net):
        net.eval()
        for layer in layers:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average
        device = device_of(net)
        for inputs, _ in batches:
            if seen == n:
                break
            call(net, to_device(inputs, device))
            seen += 1
            samples += len(inputs[0] if isinstance(inputs, tuple) else inputs)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    if not seen:
        raise EvaluationError("recalibration needs at least one batch, got none; n must be 1 or more")
    mean_shift, ratio = 0.0, 1.0
    for layer, (mean, variance) in zip(layers, old, strict=True):
        new_mean, new_variance = _copy(layer.running_mean), _copy(layer.running_var)
        if not bool(torch.isfinite(new_mean).all() and torch.isfinite(new_variance).all()):
            raise EvaluationError("recalibrated batch-norm statistics are not finite; the weights have diverged")
        mean_shift = max(mean_shift, float(((new_mean - mean).abs() / (variance + layer.eps).sqrt()).max()))
        logs = ((new_variance + layer.eps) / (variance + layer.eps)).log().abs()
        ratio = max(ratio, float(logs.max().exp()))
    return RecalibrationReport(len(layers), seen, samples, mean_shift, ratio)


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()


__all__ = ["RecalibrationReport", "recalibrate", "recalibrate_"]
