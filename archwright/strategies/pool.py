"""Where model-based strategies look for candidates: all of a small space, or what is near the best, and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archwright.predictors.encoding import Encoded, Encoder, Extra, Whole, whole_space
from archwright.space.architecture import Architectures
from archwright.space.space import Space

DRAWN = 1600  # candidates of an ask in a large space


@dataclass(frozen=True)
class Candidates:
    """Members that may be proposed: codes (n, D) as proposed, and their encoding."""

    codes: np.ndarray
    encoded: Encoded

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: np.ndarray) -> Candidates:
        return Candidates(self.codes[rows], self.encoded[rows])


class Pool:
    """Supplies candidates that are neither proposed yet nor known to equal an evaluated network.

    Args:
        encoder: of the space.
        extra: the encoder's further columns, if any.
        structural: whether the encoder reads graphs.
        drawn: candidates of an ask in a large space.
    """

    def __init__(self, encoder: Encoder, extra: Extra | None, structural: bool, drawn: int = DRAWN) -> None:
        self._space, self._encoder, self._drawn = encoder.space, encoder, drawn
        self._listed = whole_space(self._space) if structural else None
        self._whole: Candidates | None = None
        if self._listed is not None:
            self._whole = _with_extra(self._space, encoder, self._listed, extra)
            self._alive = np.ones(len(self._whole), bool)
            self._keys = self._whole.encoded.keys()
            self._noted: set[bytes] = set()

    def candidates(self, best: np.ndarray, told: Encoded, seen: set[bytes], rng: np.random.Generator) -> Candidates:
        """Members to choose from.

        Args:
            best: (k, D) codes of the best trials, best first.
            told: all trials; what equals one of them is left out.
            seen: codes as bytes that were proposed.
            rng: source of randomness.
        """
        if self._whole is not None and self._listed is not None:
            self._note(self._listed, seen)
            return self._whole[np.flatnonzero(self._alive)]
        drawn = self._draw(best, rng).unique()
        new = [i for i, code in enumerate(drawn.codes) if code.tobytes() not in seen]
        drawn = drawn[np.array(new, np.int64)]
        found = Candidates(drawn.codes, self._encoder(drawn))
        old = set(told.keys().tolist())
        return found[np.array([i for i, k in enumerate(found.encoded.keys().tolist()) if k not in old], np.int64)]

    def encode(self, codes: np.ndarray) -> Encoded:
        """Encode codes (n, D); those of a small space are looked up."""
        if self._whole is None or self._listed is None:
            return self._encoder(Architectures(self._space, codes))
        return self._whole.encoded[self._listed.rows(codes)]

    def _note(self, listed: Whole, seen: set[bytes]) -> None:
        """Strike out what was proposed, and what computes the same."""
        for code in seen - self._noted:
            row = listed.row[code]
            self._alive &= self._keys != self._keys[row]
        self._noted = set(seen)

    def _draw(self, best: np.ndarray, rng: np.random.Generator) -> Architectures:
        """Mutants and children of the best, better parents more often, and random members."""
        n = -(-self._drawn // 4)
        place = np.minimum(rng.geometric(0.15, 3 * n) - 1, len(best) - 1)
        parents = Architectures(self._space, best[place])
        near = self._space.mutate(parents[:n], rng, 1)
        further = self._space.mutate(parents[n : 2 * n], rng, min(3, len(self._space.decisions)))
        mates = Architectures(self._space, best[rng.integers(0, len(best), n)])
        children = self._space.crossover(parents[2 * n :], mates, rng)
        return near + further + children + self._space.sample(n, rng)


def _with_extra(space: Space, encoder: Encoder, whole: Whole, extra: Extra | None) -> Candidates:
    codes, encoded = whole.codes, whole.encoded
    if extra is None:
        return Candidates(codes, encoded)
    blocks = {**encoded.blocks, "extra": encoder.extra_block(Architectures(space, codes))}
    return Candidates(codes, Encoded(encoded.codes, encoded.points, blocks))
