"""Runs of many seeds, in this process or in others of one thread each."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from archwright.search.processes import child_threads

EVERY_S = 15.0  # between two lines of progress within a strategy

Play = Callable[..., dict[str, Any]]  # (seed, *arguments) -> what is recorded of the run
Spread = Callable[[Play, Sequence[int], tuple[Any, ...]], Iterable[dict[str, Any]]]  # in the order of the seeds


def in_turn(play: Play, seeds: Sequence[int], arguments: tuple[Any, ...]) -> Iterable[dict[str, Any]]:
    """One seed after the other, here."""
    return (play(seed, *arguments) for seed in seeds)


@contextmanager
def spread_over(workers: int) -> Iterator[Spread]:
    """A way to run seeds in so many processes; with one it is this process.

    Each process has one numerical thread: strategies multiply small matrices, where several threads mostly wait for
    each other, and engine seconds stay those of one core. Functions and arguments must be picklable.
    """
    if workers < 2:
        yield in_turn
        return
    with child_threads(1), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:

        def spread(play: Play, seeds: Sequence[int], arguments: tuple[Any, ...]) -> Iterable[dict[str, Any]]:
            return pool.map(play, seeds, *([value] * len(seeds) for value in arguments))

        yield spread


def counted(
    runs: Iterable[dict[str, Any]], total: int, what: str, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """All runs, with a line of progress now and then."""
    done: list[dict[str, Any]] = []
    said = time.monotonic()
    for run in runs:
        done.append(run)
        if len(done) < total and time.monotonic() - said > EVERY_S:
            said = time.monotonic()
            progress(f"{what}: {len(done)} of {total} seeds")
    return done
