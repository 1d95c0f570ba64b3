"""Which executor a configuration asks for."""

from __future__ import annotations

from archwright.job.config import RunConfig
from archwright.search.executor import Executor, InProcess


def executor_for(config: RunConfig) -> Executor:
    """In this process for one worker, a process pool for several, Ray where it is named.

    Raises:
        MissingPackageError: if Ray is asked for and not installed.
    """
    if config.executor == "ray":
        from archwright.search.executor_ray import Ray

        return Ray(config.workers)
    if config.executor == "processes" or (config.executor == "auto" and config.workers > 1):
        from archwright.search.processes import ProcessPool

        return ProcessPool(config.workers)
    return InProcess()
