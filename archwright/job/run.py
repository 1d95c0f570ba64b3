"""The main job, a straight line: prepare, first network, latency table, supernet, search, finalists, export, report.

Every stage leaves a file under `checkpoint/` when it ends, and a resumed job skips what is there. The trials themselves
are in the run log alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archwright.errors import ConfigurationError, RunLogError
from archwright.job.config import RunConfig, check, read_toml, to_toml
from archwright.job.progress import Progress
from archwright.search.log import lock_folder, replace_file

if TYPE_CHECKING:
    from archwright.nets.build import Network
    from archwright.search.result import SearchResult
    from archwright.space import Architecture


@dataclass(frozen=True)
class JobResult:
    """What a job hands over.

    Attributes:
        folder: the run folder.
        result: of the search.
        architecture: of the network that was chosen.
        network: trained, with weights of its own.
        metrics: measured on it, names with units; quality on the test part.
        predicted: what the search believed of it.
        feasible: whether every limit holds as measured.
    """

    folder: Path
    result: SearchResult
    architecture: Architecture
    network: Network
    metrics: Mapping[str, float]
    predicted: Mapping[str, float]
    feasible: bool
    notes: tuple[str, ...] = field(default=())

    def report(self) -> Path:
        """Write report.html again and return its path."""
        from archwright.job.reporting import write_report

        return write_report(self.folder)


def run_job(
    config: RunConfig, *, start: float | None = None, task: Any = None, space: Any = None, quiet: bool = False
) -> JobResult:
    """Run a whole job in a new folder.

    Args:
        config: checked keys.
        start: `time.monotonic()` when the program began, for the times that are printed.
        task: data in place of `config.data`: a Task, or datasets or loaders.
        space: a Space in place of `config.space`.
        quiet: print nothing.

    Raises:
        ConfigurationError: if something cannot be done, before work starts.
        RunLogError: if the folder holds a run already or is in use.
    """
    folder = Path(config.out or Path("runs") / time.strftime("%Y%m%d-%H%M%S"))
    if (folder / "run.toml").exists():
        raise RunLogError(
            f"{folder} holds a run already: archwright resume {folder} continues it, or choose another --out"
        )
    config = _settled(config)
    progress = Progress(start, quiet=quiet)
    progress.say(
        f"data {config.data if task is None else 'given'}, budget {config.budget}, seed {config.seed}, folder {folder}"
    )
    return _run(config, folder, progress, task, space)


def resume_job(
    folder: Path, *, budget: str | None = None, task: Any = None, space: Any = None, quiet: bool = False
) -> JobResult:
    """Continue a job that was stopped.

    Args:
        folder: of the run.
        budget: a new total budget.
        task: data, if the run was started with data that a file cannot name.
        space: likewise.
        quiet: print nothing.

    Raises:
        RunLogError: if the folder holds no run or is in use.
    """
    progress = Progress(quiet=quiet)
    config = read_config(folder)
    if budget is not None:
        config = check({**config.model_dump(), "budget": budget}, "--budget")
    progress.say(f"resuming {folder}")
    return _run(config, Path(folder), progress, task, space)


def _settled(config: RunConfig) -> RunConfig:
    """Files under their full paths, so that a run can be continued from another folder."""
    from archwright import registry

    changes: dict[str, str] = {}
    if config.space.endswith(".py") and Path(config.space).is_file():
        changes["space"] = str(Path(config.space).resolve())
    if config.data not in registry.names("tasks") and Path(config.data).expanduser().exists():
        changes["data"] = str(Path(config.data).expanduser().resolve())
    return config.model_copy(update=changes) if changes else config


def read_config(folder: Path) -> RunConfig:
    """The configuration that a run folder keeps.

    Raises:
        RunLogError: if it holds no run.
    """
    path = Path(folder) / "run.toml"
    if not path.is_file():
        raise RunLogError(
            f"{folder} holds no run (it has no run.toml); start one with: archwright search --out {folder}"
        )
    return check(read_toml(path), str(path))


def _run(config: RunConfig, folder: Path, progress: Progress, task: Any, space: Any) -> JobResult:
    progress.say("loading PyTorch, the data and the space")
    from archwright.job.setup import prepare
    from archwright.job.stages import Stages

    setup = prepare(config, task=task, space=space)
    try:
        (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the run folder {folder}: {error.strerror}; choose another --out"
        ) from error
    from safetensors import SafetensorError

    try:
        with lock_folder(folder / "checkpoint"):
            replace_file(folder / "run.toml", to_toml(config))
            return Stages(setup, folder, progress).run()
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise RunLogError(
            f"a file of the run cannot be read or written: {reason}; once there is room, continue with: "
            f"archwright resume {folder}"
        ) from error
