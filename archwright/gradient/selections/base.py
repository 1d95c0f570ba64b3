"""What a selection is: how one architecture comes out of the architecture parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.gradient.core import Core
    from archwright.gradient.search import GradientSearch

CANDIDATES = 20_000


@dataclass(frozen=True)
class Selection(ABC):
    """From architecture parameters to one architecture."""

    def check(self, relaxation: Relaxation) -> None:
        """See that the selection can be combined with the relaxation.

        Raises:
            ConfigurationError: if it cannot, with the reason.
        """

    def after_epoch(self, search: GradientSearch) -> None:
        """An epoch is over: options may be removed for good."""

    @property
    def starts(self) -> tuple[float, ...]:
        """Shares of the search at which its stages begin; warm-up and learning rates begin anew with each."""
        return (0.0,)

    def supernet_space(self, space: Space, stage: int) -> Space:
        """The space of a stage's supernet: the decisions of the searched space, perhaps fewer cells."""
        return space

    def carry(self, old: Core, new: Core, stage: int) -> None:
        """Hand over from the supernet of the stage that is over to that of `stage`."""

    def before_epoch(self, search: GradientSearch) -> None:
        """An epoch begins."""

    @abstractmethod
    def choose(self, search: GradientSearch) -> Architecture:
        """The architecture that the parameters stand for now; nothing is trained."""

    def finish(self, search: GradientSearch) -> Architecture:
        """The architecture at the end; a selection may train the supernet further."""
        return self.choose(search)

    def within(self, space: Space, seconds: float, *, epoch_s: float, batch_s: float) -> Selection:
        """This selection with as much work in `finish` as fits into some seconds.

        Args:
            space: that is searched.
            seconds: for `finish`.
            epoch_s: seconds of training an epoch.
            batch_s: seconds of measuring a batch.
        """
        return self


def log_chances(search: GradientSearch) -> list[np.ndarray]:
    """Log of the chances of every decision's options, (options,) each; removed options have -inf."""
    out = []
    for p in search.core.probabilities(detach=True).values():
        with np.errstate(divide="ignore"):
            out.append(np.log(p.double().cpu().numpy()))
    return out


def likeliest(search: GradientSearch) -> Architecture:
    """The likeliest architecture that the space and all hard budgets admit.

    Where the likeliest options together are not admitted, the likeliest admitted one of many is taken: drawn from the
    chances, or from nearly equal ones, and improved by single changes.
    """
    scores = log_chances(search)
    space = search.space
    code = np.array([int(s.argmax()) for s in scores], dtype=np.int64)
    legal = legal_code(space, code)
    if admitted(search, legal[None])[0] and np.array_equal(legal, space.canonical(code[None])[0]):
        return space.architectures(legal[None])[0]
    return _searched(search, scores)


def legal_code(space: Space, code: np.ndarray) -> np.ndarray:
    """A member's code near a code (D,); the code itself if it is a member."""
    from archwright.space.repair import nearest_by_changes, nearest_legal

    canonical = space.canonical(code[None])[0]
    if space.is_member(canonical[None])[0]:
        return canonical
    near = code.copy()
    for d, k in nearest_legal(space, code.tolist()).items():
        near[d] = k
    near = space.canonical(np.maximum(near, 0)[None])[0]
    return near if space.is_member(near[None])[0] else nearest_by_changes(space, near)


def admitted(search: GradientSearch, codes: np.ndarray) -> np.ndarray:
    """Which codes keep to every hard budget: bool (n,)."""
    out = np.ones(len(codes), dtype=bool)
    for penalty in search.method.penalties:
        kept = penalty.admits(search.core, codes)
        if kept is not None:
            out &= kept
    return out


def score_of(codes: np.ndarray, scores: list[np.ndarray]) -> np.ndarray:
    """Log chance of codes (n, D); inactive decisions count nothing."""
    total = np.zeros(len(codes))
    for d, s in enumerate(scores):
        column = codes[:, d]
        total += np.where(column >= 0, np.maximum(s, -1e6)[np.maximum(column, 0)], 0.0)
    return total


def _searched(search: GradientSearch, scores: list[np.ndarray]) -> Architecture:
    space, rng = search.space, np.random.default_rng([search.seed, 0x5E1])
    pool = [space.sample(CANDIDATES // 4, rng).codes]
    for sharpness in (1.0, 0.5, 0.25):
        drawn = np.stack([_draw(s * sharpness, CANDIDATES // 4, rng) for s in scores], axis=1)
        codes = space.canonical(drawn)
        pool.append(codes[space.is_member(codes)])
    codes = np.unique(np.concatenate(pool), axis=0)
    codes = codes[admitted(search, codes)]
    if not len(codes):
        raise ConfigurationError(
            "no architecture that keeps to the budget was found among "
            f"{CANDIDATES} draws; raise the budget or check its unit against the cost of smallest()"
        )
    best = codes[score_of(codes, scores).argmax()]
    while True:
        near = space.neighbours(space.architectures(best[None])[0]).codes
        near = near[admitted(search, near)]
        if not len(near):
            break
        gains = score_of(near, scores)
        if gains.max() <= score_of(best[None], scores)[0] + 1e-12:
            break
        best = near[gains.argmax()]
    return space.architectures(best[None])[0]


def _draw(logits: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    logits = np.maximum(logits, -1e6)
    return (logits[None] + rng.gumbel(size=(n, len(logits)))).argmax(1)
