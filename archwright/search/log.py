"""The run log: `trials.jsonl`, append-only JSON lines, the only persistent state of a run.

The first line is the header. Then follow, in the order in which they happened, ask lines (how many candidates were
asked for, how many came) and trial lines; that is enough to replay a strategy exactly. Lines of a batch are written by
one `write` to the operating system before the strategy hears of them, so a killed process loses no trial that anybody
knows of. On opening, half a line at the end is cut off; anything else that cannot be read is an error with its line
number.

One process at a time: the folder's `lock` file is locked by the kernel (`flock`), which also frees it after a kill.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archwright.errors import RunLogError
from archwright.search.trial import State, Trial

FORMAT = 1
FILE = "trials.jsonl"
_STATES = ("complete", "infeasible", "failed")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of `ask`: `wanted` candidates were asked for, `count` came, numbered from `first`."""

    wanted: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class LoggedTrial:
    """A trial line; `code` has one choice a decision."""

    number: int
    code: tuple[int, ...]
    fidelity: float
    resume_from: int | None
    state: State
    metrics: Mapping[str, float]
    seconds: float
    error: str | None
    at_s: float
    simulated_at_s: float


@dataclass(frozen=True)
class LogContent:
    """What a log holds: the header, and the asks and trials in the order in which they happened."""

    header: Mapping[str, Any]
    events: Sequence[Ask | LoggedTrial] = field(default_factory=list)


def ask_line(ask: Ask) -> str:
    """One ask as a line of the log."""
    return f'{{"ask":{ask.wanted},"first":{ask.first},"count":{ask.count}}}\n'


def trial_line(trial: Trial) -> str:
    """One trial as a line of the log; written by hand because `json` takes several times as long."""
    candidate = trial.candidate
    metrics = ",".join([f'"{name}":{_number(value)}' for name, value in trial.metrics.items()])
    code = ",".join(map(str, candidate.architecture.code.tolist()))
    parts = f'{{"trial":{trial.number},"code":[{code}],"state":"{trial.state}","metrics":{{{metrics}}}'
    if candidate.fidelity != 1.0:
        parts += f',"fidelity":{float(candidate.fidelity)!r}'
    if candidate.resume_from is not None:
        parts += f',"resume_from":{candidate.resume_from}'
    if trial.simulated_at_s:
        parts += f',"simulated_at_s":{trial.simulated_at_s!r}'
    if trial.error is not None:
        parts += f',"error":{json.dumps(trial.error)}'
    return f'{parts},"seconds":{trial.seconds:.9g},"at_s":{trial.at_s:.6f}}}\n'


def _number(value: float) -> str:
    """A float as JSON: null for NaN, a word for the infinities, all digits otherwise."""
    if math.isfinite(value):
        return repr(float(value))
    return "null" if math.isnan(value) else f'"{float(value)}"'


def read_log(path: Path) -> LogContent:
    """Read a log without changing it; half a line at its end is ignored.

    Raises:
        RunLogError: if the file cannot be read or a line is damaged.
    """
    content, _ = _read(path)
    return content


def _read(path: Path) -> tuple[LogContent, int]:
    """The content, and the number of bytes up to the end of the last whole line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunLogError(f"cannot read the run log {path}: {error.strerror}; check the path and its rights") from error
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].split(b"\n")[:-1]
    if not lines:
        raise RunLogError(f"{path} has no header line, so it is no run log; give another folder or delete the file")
    events: list[Ask | LoggedTrial] = []
    header = _parse(path, 1, lines[0], _header)
    for number, line in enumerate(lines[1:], start=2):
        events.append(_parse(path, number, line, _event))
    return LogContent(header, events), whole


def _parse(path: Path, number: int, line: bytes, make: Any) -> Any:
    try:
        return make(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        shown = line[:60].decode("utf-8", "backslashreplace")
        raise RunLogError(
            f"line {number} of {path} is damaged ({error}): {shown!r}; restore the file from a copy, "
            f"or cut it off before this line to go on from there"
        ) from error


def _header(data: Any) -> Mapping[str, Any]:
    if data["archwright"] != FORMAT:
        raise ValueError(f"format {data['archwright']}, this version reads format {FORMAT}")
    return data


def _event(data: Any) -> Ask | LoggedTrial:
    if "ask" in data:
        return Ask(int(data["ask"]), int(data["first"]), int(data["count"]))
    if data["state"] not in _STATES:
        raise ValueError(f"unknown state {data['state']!r}")
    return LoggedTrial(
        number=int(data["trial"]),
        code=tuple(data["code"]),
        fidelity=float(data.get("fidelity", 1.0)),
        resume_from=data.get("resume_from"),
        state=data["state"],
        metrics={k: math.nan if v is None else float(v) for k, v in data["metrics"].items()},
        seconds=float(data["seconds"]),
        error=data.get("error"),
        at_s=float(data["at_s"]),
        simulated_at_s=float(data.get("simulated_at_s", 0.0)),
    )


class RunLog:
    """The log of one run folder, locked for this process and open for appending.

    Raises:
        RunLogError: if another process has the folder, it cannot be written, or the log is damaged.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Open the log of `folder`, or make it with `header` if there is none.

        Args:
            folder: made if it does not exist.
            header: JSON values; only used for a new log.
        """
        self.path = folder / FILE
        self._file = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
        except OSError as error:
            raise RunLogError(
                f"cannot use {folder} as a run folder: {error.strerror}; choose a folder that can be written"
            ) from error
        try:
            if not self.path.exists():
                replace_file(self.path, json.dumps({"archwright": FORMAT, **header}) + "\n")
            self.content, self._size = _read(self.path)
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(self._file, self._size)  # half a line of a killed process
        except OSError as error:
            raise RunLogError(f"cannot write the run log {self.path}: {error.strerror}; check its rights") from error

    def write(self, lines: Iterable[str]) -> None:
        """Append whole lines and hand them to the operating system.

        Raises:
            RunLogError: if the disk takes no more; the log then ends with the last whole batch before it.
        """
        data = "".join(lines).encode()
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise RunLogError(
                f"cannot write to {self.path}: {error.strerror}; everything before is kept ({self._size:,} bytes). "
                f"Make room on the disk and resume the run"
            ) from error
        self._size += len(data)

    def sync(self) -> None:
        """Wait until the disk has the log, so that it survives a power failure as well."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the log and let other processes have the folder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _lock(folder: Path) -> int:
    """Lock the folder for this process; returns the descriptor that holds the lock.

    Raises:
        RunLogError: if another process holds it.
    """
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise RunLogError(
            f"the run folder {folder} is in use by process {owner}; wait until it ends, or give another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep a folder for this process while a block runs.

    Raises:
        RunLogError: if another process has it.
    """
    descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all.

    Raises:
        RunLogError: if it cannot be written.
    """
    half = path.with_name(path.name + ".part")
    try:
        half.write_text(text, encoding="utf-8")
        os.replace(half, path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise RunLogError(f"cannot write {path}: {error.strerror}; make room or check the rights") from error
