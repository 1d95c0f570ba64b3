"""Made-up sequences of token ids: find the one marked token and say which class it has.

Nothing here is language. The task is small enough for a test and cannot be solved by counting ids: every id may stand
anywhere, and only the one behind the mark counts.
"""

from __future__ import annotations

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of

START, MARK, FIRST = 0, 1, 2  # id of the first token, of the mark, and the first of the others


@register("tasks", "synthetic_tokens", labels={"kind": "classification", "input": "token ids, synthetic"})
def synthetic_tokens(
    *, rows: int = 4000, length: int = 16, vocabulary: int = 18, classes: int = 4, seed: int = 0
) -> Task:
    """Sequences drawn by `seed`; the class is the id behind the mark, minus 2, modulo `classes`.

    Args:
        rows: sequences in all; a fifth is held out for testing and a fifth of the rest for validation.
        length: tokens of a sequence, the start token and the mark included.
        vocabulary: number of ids: start, mark and the others.
        classes: to tell apart; it divides the number of other ids, so that all are equally likely.
        seed: of the sequences and of the parts.

    Raises:
        ConfigurationError: if the sizes do not fit.
    """
    others = vocabulary - FIRST
    if length < 3 or classes < 2 or others < classes or others % classes:
        raise ConfigurationError(
            f"synthetic_tokens needs 3 tokens or more and a number of classes (2 or more) that divides vocabulary - 2, "
            f"got length {length}, vocabulary {vocabulary}, classes {classes}"
        )
    rng = np.random.default_rng([seed, 0x70C])
    ids = rng.integers(FIRST, vocabulary, size=(rows, length))
    ids[:, 0] = START
    place = rng.integers(1, length - 1, size=rows)
    ids[np.arange(rows), place] = MARK
    target = (ids[np.arange(rows), place + 1] - FIRST) % classes
    arrays = Arrays(
        {"train": ids.astype(np.float32)},
        {"train": target},
        "synthetic_tokens",
        extra={"vocabulary": vocabulary, "synthetic": True},
    )
    return task_of(arrays, kind="classification", layout="table", seed=seed, scale=1.0, standardise=False)
