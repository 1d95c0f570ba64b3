"""scikit-learn's handwritten digits: 1797 images of 8 x 8, ten classes. The default task, it needs no download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of


@register("tasks", "digits", labels={"kind": "classification", "input": "1 x 8 x 8 images"})
def digits(*, seed: int = 0, valid_share: float = 0.2, test_share: float = 0.2) -> Task:
    """Handwritten digits of scikit-learn (1797 images of 8 x 8), stratified train, valid and test parts by seed.

    Args:
        seed: draws the parts.
        valid_share: share of what is left after the test part.
        test_share: share of all images.
    """
    images, labels = _read()
    arrays = Arrays({"train": images}, {"train": labels}, "digits")
    return task_of(
        arrays, kind="classification", seed=seed, valid_share=valid_share, test_share=test_share, scale=1.0 / 16.0
    )


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) float32 in 0..16 and labels (1797,), without the second that importing scikit-learn takes."""
    spec = find_spec("sklearn")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt") as lines:
                rows = np.loadtxt(lines, delimiter=",", dtype=np.float32)
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.float32), data.target.astype(np.int64)
