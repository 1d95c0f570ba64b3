"""Picks a strategy by what is searched, and says why.

The rule follows measurements on tables (`benchmarks/results/sample_efficiency.json`): where a trial costs training, a
model that reads the space pays from the first dozen trials on; where all evaluators are cost models, evaluations are
cheaper than thinking about them, and listing everything or plain evolution is better.
"""

from __future__ import annotations

from collections.abc import Sequence

from archwright.errors import SpaceError
from archwright.registry import get, register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Strategy, Trial
from archwright.strategies.common import check_option

LISTED = 20_000  # members that are all evaluated if evaluations are cheap
MODELLED = 2000  # trials up to which a model is fitted


@register(
    "strategies",
    "auto",
    labels={"family": "portfolio", "objectives": "many", "constraints": True},
)
class Auto:
    """Delegates to the strategy that fits space, evaluators and budget; `reason` says which and why.

    Args:
        problem: what is searched.
        seed: of the chosen strategy.
        trials: the run's budget, where it is known.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, trials: int | None = None) -> None:
        if trials is not None:
            check_option("trials", trials, 1)
        self.name, why = choose(problem, trials)
        self.reason = f"{self.name}: {why}"
        self._chosen: Strategy = get("strategies", self.name)(problem, seed=seed)

    @property
    def batch(self) -> int:
        """That of the chosen strategy."""
        return int(getattr(self._chosen, "batch", 1))

    def ask(self, n: int) -> Sequence[Candidate]:
        """Ask the chosen strategy."""
        return self._chosen.ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Tell the chosen strategy."""
        self._chosen.tell(trials)


def choose(problem: Problem, trials: int | None) -> tuple[str, str]:
    """Name of a strategy, and a sentence that says why."""
    try:
        size = problem.space.size()
    except SpaceError:  # a predicate on the tree makes counting impossible
        size = None
    costly = [e for e in problem.evaluators if not getattr(e, "cheap", False)] or not problem.evaluators
    several = len(problem.goals) > 1
    evolution = "nsga2" if several else "regularized_evolution"
    members = "more architectures than can be counted" if size is None else f"{size:,} architectures"
    if not costly and size is not None and size <= LISTED and (trials is None or size <= trials):
        return "random", f"the evaluators are cost models and the space has only {members}, so all are evaluated once"
    if not costly:
        return evolution, f"the evaluators are cost models, whose answers cost less than a model of them ({members})"
    if trials is not None and trials > MODELLED:
        return evolution, f"{trials:,} trials are more than a Gaussian process learns from ({members})"
    if len(problem.goals) > 2:
        return (
            "linas",
            f"a trial is costly and a front of many goals is wanted, which evolution on predictors spreads along "
            f"({members})",
        )
    what = "the largest gain of hypervolume" if several else "the largest gain"
    return "bayesian", f"a trial is costly, so each is placed where a model expects {what} ({members})"
