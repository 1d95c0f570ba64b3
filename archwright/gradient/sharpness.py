"""Sharpness of a search: the largest Hessian eigenvalue in the architecture parameters, and stopping before it grows.

Zela et al., 2020 ("Understanding and robustifying differentiable architecture search", section 4): the eigenvalue of
the validation loss rises where the found network gets worse, so the search is stopped before. Known limits: exact
second derivatives run without the rewritings that make steps fast, so an eigenvalue costs `steps` slow passes;
relaxations that draw are measured at their chances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from archwright.analysis.hessian import HessianProduct, top_eigenvalues
from archwright.errors import ConfigurationError
from archwright.gradient.measure import batch_statistics
from archwright.gradient.search import GradientSearch
from archwright.nets.flow import Weights


def sharpness(
    search: GradientSearch, parameters: list[nn.Parameter] | None = None, *, images: int = 128, steps: int = 12
) -> float:
    """Largest Hessian eigenvalue of the mixture's loss on the architecture's part of the data.

    Args:
        search: at any epoch; it is left as it is.
        parameters: with respect to which; the architecture parameters when None.
        images: how many examples the loss is the mean of.
        steps: of the Lanczos iteration.
    """
    core = search.core

    def loss(x: Tensor, y: Tensor) -> Tensor:
        chances = {p: core.relaxation.probabilities(v, core.blocked.get(p)) for p, v in core.alpha().items()}
        given = Weights({**chances, **core.method.extra_weights(core.edge_parameters())})
        with core.method.applied(core.supernet, core.companion, core.progress):
            return search.task.loss(core.supernet.mixture(x, given, replace(core.method.engine(), optimised=False)), y)

    with batch_statistics(core.supernet):
        wanted = core.architecture_parameters() if parameters is None else parameters
        product = HessianProduct(loss, _first(search, images), wanted)
        return float(top_eigenvalues(product, product.size, steps=steps)[0])


def _first(search: GradientSearch, images: int) -> Iterator[tuple[Any, Tensor]]:
    """Batches with so many examples together."""
    for x, y in search.data.some(0, 0):
        if images <= 0:
            return
        yield x[:images], y[:images]
        images -= len(y)


@dataclass(eq=False)
class SharpnessStop:
    """Ends a search whose sharpness grows: `search.run(on_epoch=SharpnessStop(search))` (Zela et al., 2020, 4.3).

    Stops once the mean eigenvalue of the last `window` epochs is more than 1 / `ratio` times that of the `window`
    epochs before; `code` is then the architecture of the last epoch before the growth.

    Attributes:
        search: that is watched.
        window: epochs that are averaged; the paper's 5.
        ratio: of the earlier mean over the later one; the paper's 0.75.
        images: of each measurement.
        eigenvalues: one an epoch, so far.
        code: of the architecture to return, once stopped.
    """

    search: GradientSearch
    window: int = 5
    ratio: float = 0.75
    images: int = 128
    eigenvalues: list[float] = field(default_factory=list)
    code: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.window < 1 or not 0.0 < self.ratio <= 1.0:
            raise ConfigurationError(f"a stop needs window >= 1 and ratio in (0, 1], got {self.window}, {self.ratio}")

    def __call__(self, record: dict[str, Any]) -> bool:
        """Measure after an epoch; whether to stop."""
        self.eigenvalues.append(sharpness(self.search, images=self.images))
        if len(self.eigenvalues) < 2 * self.window:
            return False
        before, after = (float(np.mean(part)) for part in np.split(np.array(self.eigenvalues[-2 * self.window :]), 2))
        if before >= self.ratio * after:
            return False
        self.code = tuple(self.search.history[-1 - self.window]["code"])
        return True
