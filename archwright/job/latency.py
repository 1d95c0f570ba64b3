"""`archwright latency build`: a latency table of this machine for one space."""

from __future__ import annotations

from pathlib import Path

from archwright.job.config import Backend
from archwright.job.progress import Progress


def build_table(
    space: str, data: str, *, backend: Backend, threads: int, batch: int, seconds: float, out: Path, seed: int
) -> None:
    """Measure every distinct operator of a space, fit, check on unseen networks, print and save.

    Raises:
        ConfigurationError: if an argument is unknown.
        SpaceError: if the space does not fit the data.
    """
    progress = Progress()
    progress.say("loading PyTorch, the data and the space")
    from archwright.costs.lut import LatencyTable
    from archwright.job.spaces import space_for
    from archwright.tasks import load

    task = load(data)
    found = space_for(space, task)
    with progress.stage(
        f"measuring the operators of {space} for input {task.input_shape} ({backend}, {threads} threads)"
    ):
        table = LatencyTable.build(
            found, task.input_shape, backend=backend, threads=threads, batch=batch, seconds=seconds, seed=seed,
            progress=progress.update,
        )  # fmt: skip
    table.save(out)
    progress.say(str(table.report))
    progress.say(f"wrote {out}")
