"""Real CIFAR-10 images at half the resolution (2 x 2 means), for searches that must be short on a CPU."""

from __future__ import annotations

import numpy as np

from archwright.data import data_file
from archwright.tasks.arrays import read_npz
from archwright.tasks.base import Task
from archwright.tasks.images import undelta
from archwright.tasks.prepare import Arrays, task_of


def cifar10_16px(train: int = 16_000, *, seed: int = 0, valid_share: float = 0.125) -> Task:
    """`cifar10_20k` at 16 x 16 pixels.

    Args:
        train: of the 16,000 training images, the first so many (the file is stratified and shuffled).
        seed: draws the valid part.
        valid_share: share of them that becomes the valid part.
    """
    found = read_npz(data_file("train/cifar10_20k.npz"))
    x, y = {}, {}
    for part, count in (("train", train), ("test", None)):
        images = undelta(found[f"x_{part}_delta"][:count])
        halves = images.reshape(len(images), 3, 16, 2, 16, 2).mean(axis=(3, 5))
        x[part], y[part] = halves.round().astype(np.uint8), found[f"y_{part}"][:count].astype(np.int64)
    arrays = Arrays(x, y, "cifar10_16px")
    return task_of(arrays, kind="classification", seed=seed, valid_share=valid_share, flip=True)
