"""What a search writes down after an epoch, and what it ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from archwright.gradient.core import entropy
from archwright.gradient.selections.edges import skip_share
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@dataclass(frozen=True, eq=False)
class GradientResult:
    """What a search found.

    Attributes:
        architecture: the best derived one, or the last, as the method's `keep` says.
        last: that of the last epoch.
        best_epoch: epoch of `architecture`.
        history: one record an epoch.
        random: inherited measure of random architectures in the same supernet: `mean`, `best`, `count`.
        search: to take networks and parameters from.
    """

    architecture: Architecture
    last: Architecture
    best_epoch: int
    history: list[dict[str, Any]]
    random: dict[str, float]
    search: GradientSearch

    def network(self) -> nn.Module:
        """The architecture as a plain network with the inherited weights."""
        return self.search.core.network(self.architecture)


def epoch_record(search: GradientSearch, train_loss: float, seconds: float) -> dict[str, Any]:
    """The measures of the epoch that is over.

    Args:
        search: after the epoch.
        train_loss: mean of its steps.
        seconds: that it took.
    """
    derived = search.method.selection.choose(search)
    found = search.inherited(derived)
    gap, judged = None, found
    if not search.method.relaxation.one_path:
        judged = search.mixture_measure()  # one path of a mixture was never trained alone and says little
        gap = found["loss"] - judged["loss"]
    elif search.method.relaxation.learned:
        gap = found["loss"] - search.sampled_measure()["loss"]
    metric, skips = search.task.metric, skip_share(search.space, derived.code)
    return {
        "epoch": search.epoch,
        "train_loss": train_loss,
        "derived_loss": found["loss"],
        metric: found[metric],
        "judged_by": judged[metric],
        "discretisation_gap": gap,
        "entropy": float(entropy(search.core.probabilities(detach=True))),
        "skip_share": skips,
        "lr": search.stepper.weights.param_groups[0]["lr"],
        "stage": search.stage,
        "seconds": seconds,
        "code": derived.code.tolist(),
        "collapsed": skips > 0.5,
    }


__all__ = ["GradientResult", "epoch_record"]
