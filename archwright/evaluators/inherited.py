"""Shared weights as an evaluator: a subnet with a trained supernet's weights, after batch-norm recalibration.

Ranks well within one supernet; the values are below those of networks trained alone (Yu et al., 2020, table 3: BigNAS's
are close, those of single-path supernets are not).
"""

from __future__ import annotations

import numpy as np
import torch

from archwright.errors import ConfigurationError
from archwright.nets.recalibrate import recalibrate_
from archwright.nets.supernet import Supernet
from archwright.nets.train import device_of, evaluate, in_format, to_format
from archwright.registry import register
from archwright.space import Architecture, Architectures
from archwright.tasks.base import SplitName, Task
from archwright.tasks.split import TensorSplit

Columns = dict[str, np.ndarray]


@register("evaluators", "inherited", labels={"cost": "milliseconds", "survey": ["acceleration: weight sharing"]})
class InheritedEvaluator:
    """Extract each subnet once, recalibrate its batch norms, measure it on the valid part.

    Args:
        supernet: trained.
        task: data and metrics.
        batches: recalibration batches.
        batch: examples in each.
        samples: of the valid part; all when None. They and the recalibration batches are drawn once, by `seed`, so
            that all subnets meet the same ones.
        split: where the subnets are measured.
        seed: see `samples`.
    """

    deterministic = True

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        *,
        batches: int = 4,
        batch: int = 128,
        samples: int | None = None,
        split: SplitName = "valid",
        seed: int = 0,
    ) -> None:
        if batches < 1 or batch < 2:
            raise ConfigurationError(f"recalibration needs batches >= 1 of batch >= 2, got {batches} of {batch}")
        self.supernet, self.task, self.batch = supernet, task, batch
        self.metrics: tuple[str, ...] = task.metrics
        rng = np.random.default_rng([seed, 0xCA1])
        drawn = task.train.take(batches * batch, rng)
        self.calibration = _ready(drawn, device_of(supernet))
        part = task.split(split)
        self.valid = _ready(part.take(len(part) if samples is None else samples, rng), device_of(supernet))

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Measure n subnets, see `Evaluator.evaluate`; fidelity is the share of the valid examples."""
        if not 0.0 < fidelity <= 1.0:
            raise ConfigurationError(f"fidelity is the share of the valid examples and lies in (0, 1], got {fidelity}")
        count = max(1, round(fidelity * len(self.valid)))
        part = TensorSplit(self.valid.x[:count], self.valid.y[:count]) if count < len(self.valid) else self.valid
        rows = [self._one(architectures[i], part) for i in range(len(architectures))]
        return {m: np.array([row[m] for row in rows], dtype=np.float64) for m in self.metrics}

    def network(self, architecture: Architecture) -> torch.nn.Module:
        """The extracted network with recalibrated statistics."""
        net = self._fresh(architecture)
        to_format(net, torch.contiguous_format)
        return net

    def _fresh(self, architecture: Architecture) -> torch.nn.Module:
        net = self.supernet.extract(architecture)
        to_format(net, torch.channels_last)  # twice as fast for images on CPU
        recalibrate_(net, self.calibration.batches(self.batch), n=len(self.calibration))
        return net

    def _one(self, architecture: Architecture, part: TensorSplit) -> dict[str, float]:
        net = self._fresh(architecture)
        return evaluate(net, self.task, part, device=device_of(net))


def _ready(split: TensorSplit, device: torch.device) -> TensorSplit:
    x = split.x if split.finish is None else split.finish(split.x)
    if x.ndim == 4:
        x = in_format(x, torch.channels_last)
    return TensorSplit(x, split.y).to(device)
