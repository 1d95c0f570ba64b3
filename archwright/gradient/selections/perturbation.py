"""Selection by what the supernet loses without an option (DARTS-PT)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.selections.base import Selection, legal_code, likeliest
from archwright.gradient.selections.edges import EdgeGroup, edge_groups
from archwright.registry import register
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


def check_mixture(name: str, relaxation: Relaxation) -> None:
    """See that the supernet is trained as a mixture, of which a part can be taken away.

    Raises:
        ConfigurationError: if one path is run at a time.
    """
    if relaxation.one_path:
        raise ConfigurationError(
            f"the selection {name!r} cannot be used with {type(relaxation).__name__}: it removes options from the "
            "mixture of all, which this relaxation never runs; use argmax, or a relaxation that weighs all options"
        )


@register("selections", "perturbation", labels={"trains": True})
@dataclass(frozen=True)
class Perturbation(Selection):
    """In random order, each decision keeps the option without which the supernet's validation falls most.

    Wang et al., 2021, algorithm 1; then each node keeps the edges whose removal hurts most, where nodes have edges with
    a `none` option. Between two decisions the supernet is tuned.

    Attributes:
        tuning: epochs of tuning between two decisions (5 in the paper on CIFAR-10).
        edges: kept for each node.
        batches: validation batches that measure; 0 = all.
    """

    tuning: float = 1.0
    edges: int = 2
    batches: int = 8

    def check(self, relaxation: Relaxation) -> None:
        """The relaxation must run all options."""
        check_mixture("perturbation", relaxation)

    def choose(self, search: GradientSearch) -> Architecture:
        """During the search: the likeliest."""
        return likeliest(search)

    def finish(self, search: GradientSearch) -> Architecture:
        """Discretise one decision after the other."""
        rng = np.random.default_rng([search.seed, 0xD17])
        code = np.zeros(len(search.space.decisions), dtype=np.int64)
        for d in rng.permutation(len(search.space.decisions)).tolist():
            code[d] = self._project(search, d)
            search.core.block(d, [k for k in range(search.space.decisions[d].size) if k != code[d]])
            search.tune(self.tuning, seed=d)
        for group in self._groups(search):
            losses = []
            for d, none in zip(group.decisions, group.none, strict=True):
                with search.only(d, none):
                    losses.append(search.mixture_loss(self.batches))
            for i in np.argsort(-np.array(losses), kind="stable")[self.edges :].tolist():
                code[group.decisions[i]] = group.none[i]
                search.core.fix(group.decisions[i], group.none[i])
                search.tune(self.tuning, seed=1000 + group.decisions[i])
        return search.space.architectures(legal_code(search.space, code)[None])[0]

    def within(self, space: Space, seconds: float, *, epoch_s: float, batch_s: float) -> Perturbation:
        """Shorter tuning."""
        left = seconds - sum(d.size for d in space.decisions) * max(1, self.batches) * batch_s
        return replace(self, tuning=min(self.tuning, max(0.0, left / (2 * len(space.decisions) * epoch_s))))

    def _groups(self, search: GradientSearch) -> list[EdgeGroup]:
        try:
            return [g for g in edge_groups(search.space) if len(g.decisions) > self.edges and not _complete(search)]
        except ConfigurationError:
            return []

    def _project(self, search: GradientSearch, decision: int) -> int:
        """The option without which the loss is largest."""
        left = search.core.left(decision)
        if len(left) == 1:
            return left[0]
        losses = []
        for k in left:
            with search.without(decision, k):
                losses.append(search.mixture_loss(self.batches))
        return left[int(np.argmax(losses))]


def _complete(search: GradientSearch) -> bool:
    """Whether cells give out their last node alone, as in NAS-Bench-201, where every edge is kept."""
    from archwright.gradient.selections.edges import results_of

    return "last" in results_of(search.space)
