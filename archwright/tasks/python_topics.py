"""Passages of the Python language's own documentation: which chapter is each from? Real text, needs no download.

Python carries the chapters of its reference that `help()` shows as `pydoc_data.topics` (Python Software Foundation
Licence); they are read where they are installed, so that nothing is copied and the passages are those of the Python
that runs. A chapter is cut into passages that do not overlap; neighbours may fall into different parts.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of

CHAPTERS = (  # long ones that do not quote each other
    "compound", "debugger", "execmodel", "formatstrings", "specialnames", "string-methods", "types", "typesseq",
)  # fmt: skip
NOTHING, RARE, FIRST = 0, 1, 2  # ids of what is behind the end, of words out of the vocabulary, of the most frequent
WORD = re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")


@register("tasks", "python_topics", labels={"kind": "classification", "input": "token ids, English text"})
def python_topics(
    *, words: int = 32, vocabulary: int = 2000, seed: int = 0, valid_share: float = 0.2, test_share: float = 0.2
) -> Task:
    """Passages as ids of their words and signs, by frequency; the class is the chapter.

    Args:
        words: words and signs of a passage; a chapter's last one is filled up with id 0.
        vocabulary: ids in all; rarer words share id 1.
        seed: draws the parts.
        valid_share: share of what is left after the test part.
        test_share: share of all passages.

    Raises:
        ConfigurationError: if this Python comes without its documentation, or a number is too small.
    """
    if words < 1 or vocabulary <= FIRST:
        raise ConfigurationError(
            f"python_topics needs passages of a word or more and a vocabulary above {FIRST}, got {words}, {vocabulary}"
        )
    texts = _chapters()
    count = Counter(w for text in texts for w in text)
    ranked = sorted(count, key=lambda w: (-count[w], w))[: vocabulary - FIRST]
    number = {w: i for i, w in enumerate(ranked, start=FIRST)}
    ids, labels = [], []
    for chapter, text in enumerate(texts):
        coded = [number.get(w, RARE) for w in text]
        coded += [NOTHING] * (-len(coded) % words)
        rows = np.array(coded, np.float32).reshape(-1, words)
        ids.append(rows)
        labels += [CHAPTERS[chapter]] * len(rows)
    arrays = Arrays(
        {"train": np.concatenate(ids)}, {"train": np.array(labels)}, "python_topics", extra={"vocabulary": vocabulary}
    )
    return task_of(
        arrays, kind="classification", layout="table", seed=seed, valid_share=valid_share, test_share=test_share,
        scale=1.0, standardise=False,
    )  # fmt: skip


def _chapters() -> list[list[str]]:
    """The words of each chapter, in lower case."""
    topics: dict[str, str] = {}
    with suppress(ImportError):
        from pydoc_data import topics as pages

        topics = pages.topics
    missing = [c for c in CHAPTERS if c not in topics]
    if missing:
        raise ConfigurationError(
            f"python_topics reads the chapters {', '.join(CHAPTERS)} of pydoc_data.topics, and this Python lacks "
            f"{', '.join(missing)}; install its documentation (python3-doc or libpython3-stdlib)"
        )
    return [WORD.findall(topics[c].lower()) for c in CHAPTERS]
