"""One call for the whole job: `archwright.search(...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archwright.job.config import RunConfig, check

if TYPE_CHECKING:
    from archwright.job.run import JobResult


def search(
    space: Any = "auto",
    data: Any = "digits",
    *,
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    subject_to: str | Sequence[str] = (),
    budget: str = "2m",
    strategy: str = "auto",
    out: str = "",
    seed: int = 0,
    quiet: bool = False,
    options: Mapping[str, Any] | None = None,
) -> JobResult:
    """Find, train, measure and export the best network.

    Args:
        space: a Space, an operator with choices, a registered name, a Python file, or "auto".
        data: a Task, a pair or triple of datasets or loaders, a registered name, a file or a folder.
        maximize: metrics to maximize, such as "accuracy_percent".
        minimize: metrics to minimize, such as "latency_ms".
        subject_to: limits, such as "latency_ms<=0.3".
        budget: "2m", "90s", "1h" or "200 trials".
        strategy: a registered name, or "auto".
        out: run folder; empty = below runs/.
        seed: of everything random.
        quiet: print nothing.
        options: any other key of run.toml.

    Returns:
        the chosen network, trained, with its metrics, the search's result and the run folder.

    Raises:
        ConfigurationError: if something cannot be done, before work starts.
    """
    from archwright.job.run import run_job
    from archwright.operators.base import Operator
    from archwright.space import Space

    values: dict[str, Any] = {
        "maximize": maximize, "minimize": minimize, "subject_to": subject_to, "budget": budget, "strategy": strategy,
        "out": str(out), "seed": seed, **(options or {}),
    }  # fmt: skip
    given_space = Space(space) if isinstance(space, Operator) else space if isinstance(space, Space) else None
    if given_space is None:
        values["space"] = space
    task = None if isinstance(data, str) else data
    if task is None:
        values["data"] = data
    config: RunConfig = check(values)
    return run_job(config, task=task, space=given_space, quiet=quiet)
