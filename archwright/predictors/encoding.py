"""Numbers that predictors see of an architecture: its canonical code, shared-option counts and the shape of its graph.

Everything here follows from the space; nothing is measured. What is added from outside (zero-cost scores, parameter
counts) arrives as `extra` columns and is replaced by its rank among a reference sample, so that scales do not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import ConfigurationError
from archwright.space import Architectures, Space
from archwright.space.canonical import canonical_text

if TYPE_CHECKING:
    from archwright.predictors.structure import Structure

Extra = Callable[[Architectures], np.ndarray]  # n architectures -> (n, k) float, NaN where unknown

REFERENCE = 2000  # members that scales are taken from
DEAD = -2  # the code of a decision that cannot matter


@dataclass(frozen=True)
class Encoded:
    """A batch of n architectures as numbers.

    codes: (n, D) int16; -1 inactive, -2 (`DEAD`) without influence on the output.
    points: (n, P) float32 whose squared Euclidean distance is the Hamming distance of the codes; for an ordered
        decision the distance in the order, scaled to 1.
    blocks: name -> (n, k) float32 of mean squared row norm 1: `counts`, `paths`, `extra`, where they exist.
    """

    codes: np.ndarray
    points: np.ndarray
    blocks: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: np.ndarray | slice) -> Encoded:
        blocks = {name: block[rows] for name, block in self.blocks.items()}
        return Encoded(self.codes[rows], self.points[rows], blocks)

    def __add__(self, other: Encoded) -> Encoded:
        blocks = {name: np.concatenate([block, other.blocks[name]]) for name, block in self.blocks.items()}
        return Encoded(np.concatenate([self.codes, other.codes]), np.concatenate([self.points, other.points]), blocks)

    def distances(self, other: Encoded) -> np.ndarray:
        """(n, m) float32 distances between the codes of two batches."""
        own, its = np.square(self.points).sum(axis=1), np.square(other.points).sum(axis=1)
        left = np.concatenate([self.points, own[:, None], np.ones_like(own)[:, None]], axis=1)
        right = np.concatenate([-2.0 * other.points, np.ones_like(its)[:, None], its[:, None]], axis=1)
        found = left @ right.T  # one product in place of three passes over the result
        return np.maximum(found, 0.0, out=found)

    def keys(self) -> np.ndarray:
        """(n,) one bytes key a row; architectures with one key compute the same function up to their weights."""
        flat = np.ascontiguousarray(self.codes)
        return flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()


def shared_options(space: Space) -> list[np.ndarray]:
    """Groups of at least two decisions that choose between the same options, as index arrays."""
    groups: dict[str, list[int]] = {}
    for d in space.decisions:
        groups.setdefault(canonical_text(d.options), []).append(d.index)
    return [np.array(g) for g in groups.values() if len(g) > 1]


class Encoder:
    """Encodes architectures of one space.

    Args:
        space: any.
        extra: further columns.
        structural: read the graph of the network where the space has one.
    """

    def __init__(self, space: Space, extra: Extra | None = None, *, structural: bool = True) -> None:
        self.space = space
        self.ordered = np.array([d.ordered for d in space.decisions], dtype=bool)
        self._groups = shared_options(space)
        self._extra = extra
        self._structure: Structure | None = None
        self._normal: Callable[[np.ndarray], np.ndarray] | None = None  # codes of equal networks -> one of them
        if structural:
            self._normal = getattr(space.tree, "normal_codes", None)
            from archwright.predictors.structure import Structure

            self._structure = Structure(space)
        reference = space.sample(REFERENCE, np.random.default_rng(0))
        raw = self._raw(reference)
        self._ranks: np.ndarray | None = None
        if "extra" in raw:
            self._ranks = np.sort(_filled(raw["extra"]), axis=0)
            raw["extra"] = _ranked(raw["extra"], self._ranks)
        self._scales = {name: _scale(block) for name, block in raw.items()}
        self._encoded = 0 if structural and extra is None else -(1 << 62)  # so many until a small space is listed

    @property
    def sizes(self) -> np.ndarray:
        """(D,) number of options of each decision."""
        return self.space.sizes

    def _raw(self, architectures: Architectures) -> dict[str, np.ndarray]:
        codes = architectures.codes
        if self._normal is not None:
            codes = self._normal(codes)
        blocks: dict[str, np.ndarray] = {}
        live = np.ones(codes.shape, bool)
        if self._structure is not None:
            found = self._structure.read(codes) if self._normal is None else _read_once(self._structure, codes)
            if found is not None:
                blocks["paths"], live = found
        blocks["codes"] = np.where(live | (codes < 0), codes, DEAD).astype(np.int16)
        if self._groups:
            blocks["counts"] = self._counts(blocks["codes"])
        if self._extra is not None:
            blocks["extra"] = np.asarray(self._extra(architectures), dtype=np.float64)
        return blocks

    def _counts(self, codes: np.ndarray) -> np.ndarray:
        """How often each option is taken within a group of decisions; for ordered ones the mean option as well."""
        columns = []
        for group in self._groups:
            part, size = codes[:, group], int(self.sizes[group[0]])
            columns += [(part == k).sum(axis=1) for k in range(size)]
            if self.ordered[group[0]]:
                columns.append(np.where(part >= 0, part, 0).sum(axis=1) / max(size - 1, 1))
        return np.stack(columns, axis=1).astype(np.float32)

    def extra_block(self, architectures: Architectures) -> np.ndarray:
        """(n, k) float32 the further columns alone, ranked and scaled.

        Raises:
            ConfigurationError: if there are none.
        """
        if self._extra is None or self._ranks is None:
            raise ConfigurationError("this encoder has no further columns; give it Encoder(space, extra=...)")
        mean, scale = self._scales["extra"]
        ranked = _ranked(np.asarray(self._extra(architectures), dtype=np.float64), self._ranks)
        return ((ranked - mean) * scale).astype(np.float32)

    def __call__(self, architectures: Architectures) -> Encoded:
        """Encode n architectures; a small space is encoded once as a whole when that many were asked for."""
        self._encoded += len(architectures)
        if self._encoded > LISTED_FROM:
            whole = whole_space(self.space)
            if whole is not None and self._encoded > len(whole.codes):
                return whole.encode(architectures.codes)
        return self.encode(architectures)

    def encode(self, architectures: Architectures) -> Encoded:
        """As calling it, without a memory."""
        raw = self._raw(architectures)
        codes = raw.pop("codes")
        if self._ranks is not None:
            raw["extra"] = _ranked(raw["extra"], self._ranks)
        blocks = {}
        for name, block in raw.items():
            mean, scale = self._scales[name]
            blocks[name] = ((block - mean) * scale).astype(np.float32)
        return Encoded(codes, self._points(codes), blocks)

    def _points(self, codes: np.ndarray) -> np.ndarray:
        """One-hot codes with the states of inactivity; ordered decisions as steps taken up to the option."""
        columns: list[np.ndarray] = []
        half = np.float32(np.sqrt(0.5))
        for j, ordered in enumerate(self.ordered):
            column, size = codes[:, j : j + 1], int(self.sizes[j])
            if not ordered or size < 3:
                columns.append((column == np.arange(DEAD, size)) * half)
                continue
            steps = np.where(column >= 0, column > np.arange(size - 1), 0.5) / np.sqrt(size - 1)
            columns += [steps.astype(np.float32), (np.minimum(column, 0) == np.arange(DEAD, 1)) * half]
        return np.concatenate(columns, axis=1).astype(np.float32) if columns else np.zeros((len(codes), 0), np.float32)

    def matrix(self, architectures: Architectures) -> np.ndarray:
        """(n, k) float32: one-hot canonical code and all blocks, for predictors that take plain columns."""
        return self.columns(self(architectures))

    def columns(self, encoded: Encoded) -> np.ndarray:
        """As `matrix`, of what is encoded already."""
        return np.concatenate([self.one_hot(encoded.codes), *encoded.blocks.values()], axis=1)

    def one_hot(self, codes: np.ndarray) -> np.ndarray:
        """(n, sum of sizes) float32 of canonical codes; ordered decisions are filled up to their option."""
        start = np.concatenate([[0], np.cumsum(self.sizes)])
        out = np.zeros((len(codes), int(start[-1])), np.float32)
        for j, ordered in enumerate(self.ordered):
            options = np.arange(self.sizes[j])
            column = codes[:, j : j + 1]
            out[:, start[j] : start[j + 1]] = (column >= options) if ordered else (column == options)
        return out


def _read_once(structure: Structure, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What `Structure.read` says of normal codes, many of which are equal."""
    different, row = np.unique(codes, axis=0, return_inverse=True)
    found = structure.read(different)
    return None if found is None else (found[0][row.ravel()], found[1][row.ravel()])


def _ranked(extra: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Ranks (n, k) in [-1, 1] among a sorted reference sample (m, k); unknown values count as the lowest."""
    filled = _filled(extra)
    columns = []
    for j in range(filled.shape[1]):
        low = np.searchsorted(ranks[:, j], filled[:, j], "left")
        high = np.searchsorted(ranks[:, j], filled[:, j], "right")
        columns.append((low + high) / len(ranks) - 1.0)
    return np.stack(columns, axis=1)


def _filled(extra: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(extra), extra, -np.inf)


def _scale(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and factor (k,) that give each column weight 1 / k; a constant column vanishes."""
    if not np.issubdtype(block.dtype, np.floating):
        return np.zeros(block.shape[1]), np.ones(block.shape[1])
    mean, std = block.mean(axis=0), block.std(axis=0)
    return mean, np.where(std > 1e-9, 1.0 / np.maximum(std, 1e-9), 0.0) / np.sqrt(block.shape[1])


POOL_AT_MOST = 32_768  # members of a space that are encoded at once
LISTED_FROM = 5_000  # encoded architectures from which on listing a small space is considered


@dataclass(frozen=True)
class Whole:
    """All members of a small space: codes (n, D), their encoding without extras, and the row of each code."""

    codes: np.ndarray
    encoded: Encoded
    row: dict[bytes, int]

    def encode(self, codes: np.ndarray) -> Encoded:
        """Look up codes (m, D)."""
        return self.encoded[self.rows(codes)]

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """(m,) rows of codes (m, D)."""
        data, width = codes.tobytes(), codes.dtype.itemsize * codes.shape[1]
        if not width:
            return np.zeros(len(codes), np.int64)
        return np.array([self.row[data[i : i + width]] for i in range(0, len(data), width)], np.int64)


def encoder_of(space: Space, extra: Extra | None = None, *, structural: bool = True) -> Encoder:
    """The encoder of a space; without extras the same one for everybody who asks."""
    return Encoder(space, extra, structural=structural) if extra is not None else _shared_encoder(space, structural)


@lru_cache(maxsize=8)
def _shared_encoder(space: Space, structural: bool) -> Encoder:
    return Encoder(space, structural=structural)


@lru_cache(maxsize=4)
def whole_space(space: Space) -> Whole | None:
    """All of a small space, kept for the last few spaces; None for a large one."""
    from archwright.errors import SpaceError

    try:
        if space.size() > POOL_AT_MOST:
            return None
    except SpaceError:  # a predicate on the tree makes counting impossible
        return None
    members = space.enumerate()
    return Whole(
        members.codes,
        encoder_of(space).encode(members),
        {code.tobytes(): i for i, code in enumerate(members.codes)},
    )
