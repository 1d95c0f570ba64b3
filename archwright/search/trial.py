"""Candidates that a strategy proposes and trials that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from archwright.space import Architecture

State = Literal["complete", "infeasible", "failed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a strategy wants evaluated.

    `fidelity` in (0, 1] is the effort of the evaluation; `resume_from` is the number of an earlier trial of the same
    architecture whose state (checkpoint) the evaluation may continue: it is given the seed of that trial.
    """

    architecture: Architecture
    fidelity: float = 1.0
    resume_from: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """An evaluated candidate.

    state: complete (all evaluators ran), infeasible (a limit is broken; later evaluators may not have run),
    failed (an evaluator raised; `error` says what).
    number: place among all candidates that were asked for, from 0.
    seconds: spent on the evaluation; the metric `simulated_s`, where there is one, is what it would have cost for real.
    at_s: seconds since the start of the run, resumed parts joined; simulated_at_s: the same on the simulated clock.
    """

    number: int
    candidate: Candidate
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    at_s: float = 0.0
    simulated_at_s: float = 0.0


class Strategy(Protocol):
    """A search algorithm: constructed as `Strategy(problem, seed=..., ...)`, it never sees modules, files or clocks.

    Each `ask` draws its random generator from (seed, number of asks so far) and all else from the trials told, so a
    fresh instance that is given the same asks and tells continues exactly. A strategy that cannot promise this has a
    class attribute `replayable = False`: a resumed run then takes the candidates from the log.

    A strategy may have an attribute `batch: int`: how many candidates it can be asked for at once without losing
    quality (a generation, say). Without one the run asks for one candidate a worker.
    """

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose at most n candidates; none means that the strategy waits for pending trials or is finished."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from evaluated candidates, any number, in any order."""
        ...
