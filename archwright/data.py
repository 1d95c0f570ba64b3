"""Where real data outside the package is found: `ARCHWRIGHT_DATA`, else `../shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from archwright.errors import ConfigurationError


def data_root() -> Path | None:
    """Folder with the external tables and datasets, or None if there is none."""
    named = os.environ.get("ARCHWRIGHT_DATA")
    if named:
        return Path(named) if Path(named).is_dir() else None
    for base in (Path.cwd(), Path(__file__).resolve().parents[1]):
        folder = base.parent / "shared" / "data"
        if folder.is_dir():
            return folder
    return None


def data_file(relative: str) -> Path:
    """Path of one external file, for example `nasbench/nb201_accuracy.npz`.

    Raises:
        ConfigurationError: if there is no such file, with the variable to set.
    """
    root = data_root()
    if root is None or not (root / relative).exists():
        where = "no data folder is known" if root is None else f"it is not below {root}"
        raise ConfigurationError(
            f"the data file {relative!r} is needed, but {where}; set ARCHWRIGHT_DATA to the folder that holds it"
        )
    return root / relative
