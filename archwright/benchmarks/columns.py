"""Columns of benchmark tables as memory-mapped files, and indices from codes to rows.

An archive (`.npz` or any file with a reader) is converted once into one `.npy` per column below the cache folder;
after that a table opens in milliseconds and a column that nobody reads costs nothing. The cache entry is named by the
source's path, size and time, so that a changed source is converted anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from archwright.data import data_file
from archwright.errors import ConfigurationError, nearest

Reader = Callable[[Path], Mapping[str, np.ndarray]]

_VERSION = 1  # of the layout below the cache folder


def cache_root() -> Path:
    """Folder for files that can be made again: `ARCHWRIGHT_CACHE`, else `archwright` in the user's cache folder."""
    named = os.environ.get("ARCHWRIGHT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archwright"


class ColumnFolder(Mapping[str, np.ndarray]):
    """Named read-only arrays in a folder, one `.npy` each, mapped into memory when first asked for.

    Raises:
        ConfigurationError: if the folder has no index, or a column is unknown.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            self._files: dict[str, str] = dict(index["columns"])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(f"{folder} is not a folder of columns ({error}); write it with `write`") from None
        self.folder = folder
        self._open: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """The column `name`; its first axis is the row."""
        if name not in self._open:
            if name not in self._files:
                raise ConfigurationError(f"{self.folder.name} has no column {name!r}; {nearest(name, self._files)}")
            self._open[name] = np.load(self.folder / self._files[name], mmap_mode="r", allow_pickle=False)
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    @classmethod
    def write(cls, folder: Path, columns: Mapping[str, np.ndarray], *, about: str = "") -> ColumnFolder:
        """Write columns to a folder that appears complete or not at all.

        Args:
            folder: must not exist, or is left as it is if another process has written it meanwhile.
            columns: name -> array of numbers or text (no objects).
            about: where the columns stem from.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            files = {name: f"{i:04d}.npy" for i, name in enumerate(columns)}
            for name, file in files.items():
                np.save(half / file, np.ascontiguousarray(columns[name]), allow_pickle=False)
            text = json.dumps({"version": _VERSION, "about": about, "columns": files}, indent=1)
            (half / "index.json").write_text(text, encoding="utf-8")
            os.replace(half, folder)
        except OSError:
            shutil.rmtree(half, ignore_errors=True)
            if not (folder / "index.json").exists():
                raise
        return cls(folder)


def read_npz(path: Path) -> Mapping[str, np.ndarray]:
    """All arrays of an `.npz`; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def open_columns(relative: str, reader: Reader = read_npz) -> ColumnFolder:
    """Columns of an external data file, converted on first use.

    Args:
        relative: path below the data folder, such as `nasbench/nb201_accuracy.npz`.
        reader: turns the file into named arrays; runs only when the file is new.

    Raises:
        ConfigurationError: if the data file is not there.
    """
    return open_columns_at(data_file(relative), reader)


def open_columns_at(source: Path, reader: Reader = read_npz) -> ColumnFolder:
    """As `open_columns`, for a file anywhere."""
    state = source.stat()
    reading = f"{reader.__module__}.{reader.__qualname__}"
    identity = f"{_VERSION}|{source.resolve()}|{state.st_size}|{state.st_mtime_ns}|{reading}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cache_root() / "columns" / f"{source.name.split('.')[0]}-{digest}"
    if not (folder / "index.json").exists():
        return ColumnFolder.write(folder, reader(source), about=str(source.name))
    return ColumnFolder(folder)


class MixedRadixIndex:
    """Rows of a table that lists (nearly) every code: one multiply-add per decision and one look-up.

    Args:
        codes: (n, D) the listed codes, all active.
        sizes: (D,) number of options of each decision; their product is the size of the look-up array.
    """

    limit = 1 << 24

    def __init__(self, codes: np.ndarray, sizes: np.ndarray) -> None:
        self._sizes = np.asarray(sizes, dtype=np.int64)
        self._strides = np.concatenate([[1], np.cumprod(self._sizes[:-1])]).astype(np.int64)
        self._row = np.full(int(np.prod(self._sizes)), -1, dtype=np.int32)
        keys = codes.astype(np.int64) @ self._strides
        self._row[keys[::-1]] = np.arange(len(codes), dtype=np.int32)[::-1]  # the first of equal codes stays

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """(m,) int64 row of each code (m, D), -1 where the table has none."""
        keys = np.zeros(len(codes), dtype=np.int64)
        legal = np.ones(len(codes), dtype=bool)
        for j, (size, stride) in enumerate(zip(self._sizes, self._strides, strict=True)):
            column = codes[:, j]
            legal &= (column >= 0) & (column < size)
            keys += column * stride
        rows = self._row[np.where(legal, keys, 0)].astype(np.int64)
        return np.where(legal, rows, -1)


class HashIndex:
    """Rows of a partial table: 64-bit keys, sorted, and the codes compared after the look-up.

    Args:
        codes: (n, D) the listed codes; -1 marks an inactive decision. The first of equal codes is found.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self._codes = np.ascontiguousarray(codes, dtype=np.int16)
        self._factors = _odd_factors(codes.shape[1])
        keys = self._keys(self._codes)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        new = np.flatnonzero(np.diff(self._sorted, prepend=self._sorted[:1] + np.uint64(1)) != 0)
        first = np.repeat(self._order[new], np.diff(np.append(new, len(keys))))
        differ = (self._codes[first] != self._codes[self._order]).any(axis=1)
        if differ.any():  # two codes with one key: probability below n^2 / 2^65
            raise ConfigurationError("two different codes have the same 64-bit key; list the table in another order")

    def _keys(self, codes: np.ndarray) -> np.ndarray:
        keys = np.zeros(len(codes), dtype=np.uint64)
        for j, factor in enumerate(self._factors):
            keys += codes[:, j].astype(np.uint64) * factor
            keys ^= keys >> np.uint64(29)
        return keys

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """(m,) int64 row of each code (m, D), -1 where the table has none."""
        if not len(self._sorted):
            return np.full(len(codes), -1, dtype=np.int64)
        codes = np.asarray(codes, dtype=np.int16)
        place = np.searchsorted(self._sorted, self._keys(codes)).clip(max=len(self._sorted) - 1)
        rows = self._order[place].astype(np.int64)
        return np.where((self._codes[rows] == codes).all(axis=1), rows, -1)


def _odd_factors(n: int) -> list[np.uint64]:
    rng = np.random.default_rng(0x5DEECE66D)  # fixed: keys need not be secret, only spread
    return [np.uint64(int(v) | 1) for v in rng.integers(1, 2**63, size=n, dtype=np.uint64)]


def make_index(codes: np.ndarray, sizes: np.ndarray) -> MixedRadixIndex | HashIndex:
    """The faster index that fits: mixed radix if the table covers at least 1/8 of all codes, else hashing."""
    total = float(np.prod(np.asarray(sizes, dtype=np.float64)))
    dense = total <= min(MixedRadixIndex.limit, 8 * max(len(codes), 1)) and (codes >= 0).all()
    return MixedRadixIndex(codes, sizes) if dense else HashIndex(codes)
