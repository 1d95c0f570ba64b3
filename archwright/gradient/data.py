"""The data of a search: one part trains the weights, the other the architecture; both are streamed, never restarted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from archwright.errors import ConfigurationError
from archwright.tasks.base import Task
from archwright.tasks.split import Augment, Batch, Split, TensorSplit, to_device

SplitKind = Literal["half", "valid", "fresh"]


class SearchData:
    """Two parts of a task's data.

    Args:
        task: whose training (and validation) data are used.
        split: how they are cut, see `Method.split`.
        train_share: share of the training data for the weights.
        batch: examples a step of each part.
        seed: of cuts and orders.
        augment: applied to both parts while training.
        device: of the batches.
        even: leave rows out of batches that are larger than others, so that code for one size serves all.

    Raises:
        ConfigurationError: if a part is smaller than a batch.
    """

    def __init__(
        self,
        task: Task,
        *,
        split: SplitKind,
        train_share: float,
        batch: int,
        seed: int,
        augment: Augment | None,
        device: torch.device,
        even: bool = False,
    ) -> None:
        self.split, self.share, self.batch, self.seed = split, train_share, batch, seed
        self.augment, self.device, self.even = augment, device, even
        self.valid = task.valid
        rng = np.random.default_rng([seed, 0xDA7A])
        self.train: Split = task.train
        self.whole: TensorSplit | None = None  # what is divided
        if split != "valid":
            whole = task.train if isinstance(task.train, TensorSplit) else task.train.take(len(task.train), rng)
            self.whole = whole.to(device)
        first, second = self.parts(0)
        if min(len(first), len(second)) < batch:
            raise ConfigurationError(
                f"the parts of the data have {len(first)} and {len(second)} examples, fewer than a batch of {batch}; "
                "lower the batch or change train_share"
            )
        self.steps = max(1, len(first) // batch)

    def parts(self, epoch: int) -> tuple[Split, Split]:
        """Data for the weights and for the architecture in one epoch."""
        if self.whole is None:
            return self.train, self.valid
        cut = epoch if self.split == "fresh" else 0
        order = np.random.default_rng([self.seed, 0x5B11, cut]).permutation(len(self.whole))
        count = int(self.share * len(order))
        return _rows(self.whole, order[:count]), _rows(self.whole, order[count:])

    def measuring(self, epoch: int) -> Split:
        """What is measured on: never seen by the weights in this epoch."""
        return self.parts(epoch)[1]

    def batches(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """Pairs of batches of one epoch; the second part goes on through its own passes from step to step."""
        train, valid = self.parts(epoch)
        rng = np.random.default_rng([self.seed, 0xBA7C, epoch])
        stream = self._endless(valid, np.random.default_rng([self.seed, 0xBA7D, epoch]))
        for batch in train.batches(self.batch, rng=rng, shuffle=True, augment=self.augment):
            yield self.placed(self._evened(batch)), self.placed(self._evened(next(stream)))

    def _evened(self, batch: Batch) -> Batch:
        if not self.even:
            return batch
        inputs, targets = batch
        cut = tuple(x[: self.batch] for x in inputs) if isinstance(inputs, tuple) else inputs[: self.batch]
        return cut, targets[: self.batch]

    def _endless(self, split: Split, rng: np.random.Generator) -> Iterator[Batch]:
        while True:
            yield from split.batches(self.batch, rng=rng, shuffle=True, augment=self.augment)

    def placed(self, batch: Batch) -> Batch:
        """A batch on the device of the search, images with the channels last in memory."""
        inputs, targets = batch
        inputs = to_device(inputs, self.device)
        if isinstance(inputs, torch.Tensor) and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, targets.to(self.device)

    def some(self, epoch: int, batches: int) -> Iterator[Batch]:
        """At most so many measuring batches, always the same in an epoch; 0 = all."""
        rng = np.random.default_rng([self.seed, 0x3EA5, epoch])
        for i, batch in enumerate(self.measuring(epoch).batches(self.batch, rng=rng, shuffle=True)):
            if batches and i >= batches:
                return
            yield self.placed(batch)


def _rows(split: TensorSplit, rows: np.ndarray) -> TensorSplit:
    index = torch.from_numpy(np.sort(rows)).to(split.x.device)
    return TensorSplit(split.x[index], split.y[index], split.finish)
