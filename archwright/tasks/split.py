"""Parts of a data set: in memory as tensors, or behind a `torch.utils.data` dataset or loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archwright.errors import ConfigurationError, EvaluationError

Inputs = Tensor | tuple[Tensor, ...]  # several inputs of a network travel as a tuple
Batch = tuple[Inputs, Tensor]
Augment = Callable[[Tensor, np.random.Generator], Tensor]


class Split(ABC):
    """One part of a task's data (train, valid or test)."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def batches(
        self,
        size: int,
        *,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> Iterator[Batch]:
        """Batches (inputs (b, ...), targets (b, ...)) that cover every example once.

        Shuffled batches differ in size by one at most, so that none is too small for batch normalisation.

        Raises:
            ConfigurationError: if `size` is not positive or shuffling is asked without a generator.
        """

    @abstractmethod
    def take(self, count: int, rng: np.random.Generator) -> TensorSplit:
        """At most `count` examples drawn without replacement, in memory."""


def batch_indices(
    count: int, size: int, *, rng: np.random.Generator | None = None, shuffle: bool = False
) -> list[np.ndarray]:
    """Index arrays of one pass over `count` examples, see `Split.batches`."""
    if size < 1:
        raise ConfigurationError(f"a batch has at least one example, got size {size}")
    if not shuffle:
        return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    if rng is None:
        raise ConfigurationError("shuffled batches need a generator: batches(size, rng=..., shuffle=True)")
    return np.array_split(rng.permutation(count), max(1, count // size))


class TensorSplit(Split):
    """Examples in memory.

    Args:
        x: (n, *input shape); float32 as the network reads it, or uint8 with `finish` still to be applied.
        y: (n,) int64 classes, or (n, ...) float32 values in original units.
        finish: turns a raw batch into what the network reads; None if `x` is ready.
    """

    def __init__(self, x: Tensor, y: Tensor, finish: Callable[[Tensor], Tensor] | None = None) -> None:
        if len(x) != len(y):
            raise ConfigurationError(f"inputs and targets must be equally many, got {len(x)} and {len(y)}")
        self.x, self.y, self.finish = x, y, finish

    def __len__(self) -> int:
        return len(self.x)

    def batches(
        self,
        size: int,
        *,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> Iterator[Batch]:
        """See `Split.batches`."""
        for rows in batch_indices(len(self), size, rng=rng, shuffle=shuffle):
            if shuffle:
                index = torch.from_numpy(rows).to(self.x.device)
                x, y = self.x[index], self.y[index]
            else:
                x, y = self.x[rows[0] : rows[-1] + 1], self.y[rows[0] : rows[-1] + 1]
            x = self.finish(x) if self.finish is not None else x
            if augment is not None and rng is not None:
                x = augment(x, rng)
            yield x, y

    def take(self, count: int, rng: np.random.Generator) -> TensorSplit:
        """See `Split.take`."""
        if count >= len(self):
            return self
        rows = torch.from_numpy(np.sort(rng.permutation(len(self))[:count]))
        return TensorSplit(self.x[rows], self.y[rows], self.finish)

    def to(self, device: torch.device | str) -> TensorSplit:
        """The same examples on another device."""
        if self.x.device == torch.device(device):
            return self
        return TensorSplit(self.x.to(device), self.y.to(device), self.finish)


class DatasetSplit(Split):
    """Examples of a map-style dataset, read one by one and collated.

    Args:
        dataset: has `__len__` and `__getitem__(i) -> (input, target)`.
        collate: list of items -> (inputs, targets); torch's default when None.
        target: turns a batch of targets into the task's own (labels to 0..k-1).
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[list[Any]], Any] | None = None,
        target: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        from torch.utils.data import default_collate

        self.dataset, self.collate, self.target = dataset, collate or default_collate, target

    def __len__(self) -> int:
        return len(self.dataset)

    def _batch(self, rows: np.ndarray) -> Batch:
        try:
            items = [self.dataset[int(i)] for i in rows]
        except (OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
            raise EvaluationError(f"the dataset failed on one of the examples {rows[:8].tolist()}: {error}") from error
        return as_batch(self.collate(items), self.target)

    def batches(
        self,
        size: int,
        *,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> Iterator[Batch]:
        """See `Split.batches`."""
        for rows in batch_indices(len(self), size, rng=rng, shuffle=shuffle):
            x, y = self._batch(rows)
            if augment is not None and rng is not None and isinstance(x, Tensor):
                x = augment(x, rng)
            yield x, y

    def take(self, count: int, rng: np.random.Generator) -> TensorSplit:
        """See `Split.take`."""
        x, y = self._batch(np.sort(rng.permutation(len(self))[:count]))
        if not isinstance(x, Tensor):
            raise ConfigurationError("examples with several inputs cannot be taken as one tensor; use batches()")
        return TensorSplit(x, y)


class LoaderSplit(Split):
    """Examples of an iterable loader, in the order and the batches that it gives.

    The order comes from the loader, so a resumed training is not exactly the uninterrupted one.
    """

    def __init__(self, loader: Any, length: int, target: Callable[[Tensor], Tensor] | None = None) -> None:
        self.loader, self.length, self.target = loader, length, target

    def __len__(self) -> int:
        return self.length

    def batches(
        self,
        size: int,
        *,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> Iterator[Batch]:
        """The loader's own batches; `size` and `shuffle` have no effect."""
        for raw in self.loader:
            x, y = as_batch(raw, self.target)
            if augment is not None and rng is not None and isinstance(x, Tensor):
                x = augment(x, rng)
            yield x, y

    def take(self, count: int, rng: np.random.Generator) -> TensorSplit:
        """The first `count` examples that the loader gives."""
        xs, ys, have = [], [], 0
        for x, y in self.batches(1):
            if not isinstance(x, Tensor):
                raise ConfigurationError("examples with several inputs cannot be taken as one tensor; use batches()")
            xs.append(x[: count - have])
            ys.append(y[: count - have])
            have += len(xs[-1])
            if have >= count:
                break
        return TensorSplit(torch.cat(xs), torch.cat(ys))


def as_batch(raw: Any, target: Callable[[Tensor], Tensor] | None = None) -> Batch:
    """Read a collated batch: a pair, or a longer sequence whose last member is the target.

    Raises:
        ConfigurationError: if it is neither.
    """
    if not isinstance(raw, tuple | list) or len(raw) < 2:
        raise ConfigurationError(
            f"a dataset gives (input, target) pairs, got {type(raw).__name__}; wrap it or give a collate function"
        )
    *inputs, y = raw
    bad = next((v for v in [*inputs, y] if not isinstance(v, Tensor)), None)
    if bad is not None:
        raise ConfigurationError(
            f"a batch holds tensors, got {type(bad).__name__}; convert images and labels to tensors in the dataset"
        )
    x = tuple(v.float() if v.is_floating_point() else v for v in inputs)
    y = y if target is None else target(y)
    return (x[0] if len(x) == 1 else x), y


def call(net: Callable[..., Tensor], inputs: Inputs) -> Tensor:
    """Outputs of a network for the inputs of a batch."""
    return net(*inputs) if isinstance(inputs, tuple) else net(inputs)


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs of a batch on a device."""
    if isinstance(inputs, tuple):
        return tuple(v.to(device, non_blocking=True) for v in inputs)
    return inputs.to(device, non_blocking=True)


__all__ = [
    "Augment",
    "Batch",
    "DatasetSplit",
    "Inputs",
    "LoaderSplit",
    "Split",
    "TensorSplit",
    "as_batch",
    "batch_indices",
    "call",
    "to_device",
]
