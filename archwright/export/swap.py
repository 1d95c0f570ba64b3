"""Replacing a folder in one instant, so that whoever is killed or reads meanwhile sees the old one or the new one."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archwright.errors import ExportError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def exchange(a: Path, b: Path) -> bool:
    """Swap two existing paths atomically; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0


def recover(target: Path) -> None:
    """Put back an old folder that a killed replacement left parked (only where the system cannot exchange)."""
    parked = target.with_name(f".{target.name}.old")
    if parked.exists() and not target.exists():
        parked.rename(target)


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` when the block ends without an error.

    One process at a time may replace a folder.

    Raises:
        ExportError: if a folder cannot be written or moved; the old one is then still there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        for left in (target.with_name(f".{target.name}.old"), *target.parent.glob(f".{target.name}.new-*")):
            shutil.rmtree(left, ignore_errors=True)  # of a replacement that was killed
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    except OSError as error:
        raise ExportError(f"cannot write beside {target}: {error}") from error
    try:
        yield fresh
        fresh.chmod(0o755)
        _move(fresh, target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error}; what was there before is kept") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _move(fresh: Path, target: Path) -> None:
    if not target.exists():
        fresh.rename(target)
    elif not exchange(fresh, target):  # afterwards `fresh` holds the old files
        parked = target.with_name(f".{target.name}.old")
        target.rename(parked)
        fresh.rename(target)
        shutil.rmtree(parked, ignore_errors=True)
