"""Several paths a step: fair to every option, or one path for each part of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.core import Core
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.updates.base import Update, refuse
from archwright.nets.flow import Weights
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "multi_path", labels={"passes": "paths"})
@dataclass(frozen=True)
class MultiPath(Update):
    """Gradients of several sampled paths in one optimizer step.

    `fair`: the paths of one step take every option of every decision equally often (FairNAS, Chu et al., 2021, section
    3.2). `parts`: the batch is cut and each part goes through a path of its own, so that a step costs one pass
    (ViT-ResNAS, Liao et al., 2021, section 3.3). `plain`: independent paths.

    Attributes:
        paths: of a step; 0 = as many as the largest decision has options.
        how: see above.
    """

    paths: int = 0
    how: Literal["fair", "parts", "plain"] = "fair"

    def __post_init__(self) -> None:
        if self.how not in ("fair", "parts", "plain") or self.paths < 0:
            raise ConfigurationError(
                f"multi_path is fair, parts or plain with paths >= 0, got {self.how!r}, {self.paths}"
            )

    def check(self, relaxation: Relaxation) -> None:
        """Paths are drawn uniformly."""
        if relaxation.learned:
            refuse("multi_path", relaxation, "it draws its own paths; use the relaxation 'uniform'")

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """One optimizer step on the mean gradient."""
        core, (inputs, targets) = stepper.core, train
        paths = self.draw(core, stepper.generator)
        stepper.weights.zero_grad(set_to_none=True)
        total = torch.zeros((), device=targets.device)
        for i, path in enumerate(paths):
            x, y = inputs, targets
            if self.how == "parts":
                rows = slice(i * len(targets) // len(paths), (i + 1) * len(targets) // len(paths))
                x = tuple(part[rows] for part in inputs) if isinstance(inputs, tuple) else inputs[rows]
                y = targets[rows]
            with stepper.precision():
                loss = stepper.loss(core.outputs(x, path), y) / len(paths)
            loss.backward()
            total += loss.detach()
        stepper.apply_weights()
        return total

    def draw(self, core: Core, generator: torch.Generator) -> list[Weights]:
        """The paths of one step."""
        decisions = core.inner.decisions
        count = self.paths or max((d.size for d in decisions), default=1)
        columns = {d.path: self._options(d.size, count, generator) for d in decisions}
        return [core.one_hot([columns[d.path][i] for d in decisions]) for i in range(count)]

    def _options(self, size: int, count: int, generator: torch.Generator) -> list[int]:
        if self.how != "fair":
            return torch.randint(size, (count,), generator=generator).tolist()
        rounds = [torch.randperm(size, generator=generator) for _ in range(-(-count // size))]
        return torch.cat(rounds)[:count].tolist()
