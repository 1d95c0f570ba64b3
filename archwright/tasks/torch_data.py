"""Any pair or triple of `torch.utils.data` datasets or loaders becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from archwright.errors import ConfigurationError
from archwright.tasks.augment import ShiftFlip
from archwright.tasks.base import Classification, Regression, Task
from archwright.tasks.prepare import PARTS, Kind, hold_out
from archwright.tasks.split import DatasetSplit, LoaderSplit, Split, TensorSplit, as_batch

SCAN_ROWS = 100_000  # targets are read from at most this many training examples


def from_datasets(
    parts: Sequence[Any],
    *,
    name: str = "datasets",
    kind: Kind | None = None,
    outputs: int | None = None,
    flip: bool | None = None,
    seed: int = 0,
) -> Task:
    """A task from (train, valid) or (train, valid, test) datasets or loaders; inputs are used as given.

    Args:
        parts: two or three of them. Of two, the second is divided into valid and test halves, so that nothing is
            reported on what was selected on; a loader that is iterable only serves as both, which
            `task.preprocessing["test"]` says.
        name: name of the task.
        kind: what the targets are; integers are classes and floats are values when None.
        outputs: number of classes; counted in the training part when None.
        flip: augment images by shifts, and mirrored if True; no augmentation when None.
        seed: draws the halves.

    Raises:
        ConfigurationError: if a part is no dataset, or its items are not (input, target).
    """
    if len(parts) not in (2, 3):
        raise ConfigurationError(f"give (train, valid) or (train, valid, test) datasets, got {len(parts)} parts")
    sources = {part: _source(value, part) for part, value in zip(PARTS, parts, strict=False)}
    x, _ = sources["train"].peek()
    first = x[0] if isinstance(x, tuple) else x
    targets = sources["train"].targets()
    kind = kind or ("regression" if targets.is_floating_point() else "classification")
    note: dict[str, Any] = {"formula": "none: the datasets give what the network reads"}
    if "test" not in sources:
        halves = sources["valid"].halves(seed, stratify=kind == "classification")
        if halves is None:
            note["test"] = "the test part is the valid part"
        sources["valid"], sources["test"] = halves or (sources["valid"], sources["valid"])
    common: dict[str, Any] = {
        "name": name,
        "input_shape": tuple(first.shape[1:]),
        "augmentation": None if flip is None else ShiftFlip(max(1, min(first.shape[2:]) // 8), flip),
        "preprocessing": note,
    }
    if kind == "regression":
        values = _values(targets).double()
        mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
        std = torch.where(std > 0, std, torch.ones_like(std))
        note["target_mean"], note["target_std"] = mean.tolist(), std.tolist()
        common |= {part: source.split(_values) for part, source in sources.items()}
        statistics: dict[str, Any] = {"target_mean": tuple(mean.tolist()), "target_std": tuple(std.tolist())}
        return Regression(outputs=values.shape[1], **statistics, **common)
    lookup = _Lookup(_classes(targets, outputs))
    labels = tuple(str(c) for c in lookup.classes.tolist())
    note["classes"] = list(labels)
    common |= {part: source.split(lookup) for part, source in sources.items()}
    return Classification(outputs=len(labels), classes=labels, **common)


def _values(targets: Tensor) -> Tensor:
    return targets.float().reshape(len(targets), -1)


@dataclass
class _Source:
    """A dataset or an iterable loader, before the targets are known."""

    dataset: Any | None
    collate: Callable[[list[Any]], Any] | None
    loader: Any | None
    part: str

    def _raw(self) -> Iterable[Any]:
        return () if self.loader is None else self.loader  # not `or`: a loader may have no length

    def peek(self) -> tuple[Any, Tensor]:
        """The first batch."""
        if self.dataset is not None:
            return next(DatasetSplit(self.dataset, self.collate).batches(1))
        for raw in self._raw():
            return as_batch(raw)
        raise ConfigurationError(f"the {self.part} loader gives no batch")

    def targets(self) -> Tensor:
        """Targets of (at most `SCAN_ROWS`) examples."""
        if isinstance(self.dataset, TensorDataset):
            return self.dataset.tensors[-1][:SCAN_ROWS]
        batches = (
            DatasetSplit(self.dataset, self.collate).batches(256)
            if self.dataset is not None
            else (as_batch(raw) for raw in self._raw())
        )
        found: list[Tensor] = []
        for _, y in batches:
            found.append(y)
            if sum(len(f) for f in found) >= SCAN_ROWS:
                break
        return torch.cat(found)

    def halves(self, seed: int, *, stratify: bool) -> tuple[_Source, _Source] | None:
        """Two sources from one, or None if it is iterable only."""
        if self.dataset is None:
            return None
        targets = self.targets()
        if len(targets) < len(self.dataset):
            stratify, labels = False, np.zeros(len(self.dataset))
        else:
            labels = targets.numpy().reshape(len(targets), -1)[:, 0]
        first, second = hold_out(labels, 0.5, np.random.default_rng([seed, 0x5EED]), stratify=stratify)
        if not len(first) or not len(second):
            raise ConfigurationError(
                f"{len(labels)} examples are too few to serve as valid and test part; give (train, valid, test)"
            )
        if isinstance(self.dataset, TensorDataset):
            tensors = self.dataset.tensors
            cut: list[Any] = [TensorDataset(*(t[torch.from_numpy(r)] for t in tensors)) for r in (first, second)]
        else:
            cut = [Subset(self.dataset, rows.tolist()) for rows in (first, second)]
        return _Source(cut[0], self.collate, None, "valid"), _Source(cut[1], self.collate, None, "test")

    def split(self, target: Callable[[Tensor], Tensor]) -> Split:
        """The split that the task uses."""
        if isinstance(self.dataset, TensorDataset) and len(self.dataset.tensors) == 2 and self.collate is None:
            x, y = self.dataset.tensors
            return TensorSplit(x.float() if x.is_floating_point() else x, target(y))
        if self.dataset is not None:
            return DatasetSplit(self.dataset, self.collate, target)
        length = _length(self.loader)
        return LoaderSplit(self.loader, length, target)


def _source(value: Any, part: str) -> _Source:
    from torch.utils.data import default_collate

    if isinstance(value, DataLoader):
        data = value.dataset
        collate = None if value.collate_fn is default_collate else value.collate_fn
        if not isinstance(data, IterableDataset) and hasattr(data, "__len__"):
            return _checked(_Source(data, collate, None, part))
        return _Source(None, None, value, part)
    if isinstance(value, IterableDataset):
        return _Source(None, None, DataLoader(value, batch_size=64), part)
    if hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        return _checked(_Source(value, None, None, part))
    raise ConfigurationError(f"the {part} part must be a torch Dataset or DataLoader, got {type(value).__name__}")


def _checked(source: _Source) -> _Source:
    if not len(source.dataset):  # type: ignore[arg-type]
        raise ConfigurationError(f"the {source.part} dataset is empty")
    return source


def _length(loader: Any) -> int:
    try:
        return len(loader.dataset)
    except (TypeError, AttributeError):
        return sum(len(y) for _, y in (as_batch(raw) for raw in loader))


def _classes(targets: Tensor, outputs: int | None) -> Tensor:
    if targets.ndim != 1 or targets.is_floating_point():
        raise ConfigurationError(
            f"class targets are integers, one an example, got {targets.dtype} of shape {tuple(targets.shape)}; "
            "for values use kind='regression'"
        )
    classes = torch.unique(targets)
    if outputs is not None:
        if int(classes.min()) < 0 or int(classes.max()) >= outputs:
            raise ConfigurationError(
                f"with outputs={outputs} labels lie in 0..{outputs - 1}, got {classes.tolist()[:10]}"
            )
        return torch.arange(outputs)
    if len(classes) < 2:
        raise ConfigurationError(f"a classification needs two classes or more, got only {classes.tolist()}")
    return classes


@dataclass(frozen=True)
class _Lookup:
    """Labels to 0..k-1."""

    classes: Tensor

    def __call__(self, labels: Tensor) -> Tensor:
        """Class numbers (b,) int64; an unknown label is an error."""
        index = torch.searchsorted(self.classes, labels.long()).clamp_max(len(self.classes) - 1)
        unknown = self.classes[index] != labels
        if bool(unknown.any()):
            raise ConfigurationError(f"the label {int(labels[unknown][0])} is not among the training labels")
        return index
