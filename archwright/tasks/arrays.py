"""NumPy files: `.npz` with `x_train, y_train, x_test, y_test` and optionally `x_valid, y_valid`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import PARTS, Arrays, Kind, Layout, task_of


@register("tasks", "arrays", labels={"suffixes": [".npz"]})
def arrays(
    path: str | Path,
    *,
    seed: int = 0,
    kind: Kind | None = None,
    layout: Layout | None = None,
    valid_share: float = 0.2,
    test_share: float = 0.2,
    flip: bool = False,
) -> Task:
    """Arrays in one .npz file: images (N,H,W) or (N,C,H,W), series (N,C,L), tables (N,F).

    Args:
        path: the file; it must hold `x_train` and `y_train`, other parts are held out where they are missing.
        seed: draws the hold-outs.
        kind: what the targets are; read off their type when None.
        layout: what x is; read off its axes when None.
        valid_share: share of the training rows held out if there is no `x_valid`.
        test_share: share of the training rows held out if there is no `x_test`.
        flip: whether mirrored training images are valid.

    Raises:
        ConfigurationError: if the file cannot be read or its arrays do not fit together.
    """
    found = read_npz(path)
    x = {part: found[f"x_{part}"] for part in PARTS if f"x_{part}" in found}
    y = {part: found[f"y_{part}"] for part in PARTS if f"y_{part}" in found}
    for part in PARTS:
        if (part in x) != (part in y):
            have, lack = (f"x_{part}", f"y_{part}") if part in x else (f"y_{part}", f"x_{part}")
            raise ConfigurationError(f"{path} has {have} but no {lack}; it holds {sorted(found)}")
    if "train" not in x:
        raise ConfigurationError(f"{path} must hold x_train and y_train, it holds {sorted(found)}")
    return task_of(
        Arrays(x, y, Path(path).stem),
        kind=kind,
        layout=layout,
        seed=seed,
        valid_share=valid_share,
        test_share=test_share,
        flip=flip,
    )


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a .npz file; pickled objects are refused, because loading them runs code.

    Raises:
        ConfigurationError: if the file is missing, broken or holds objects.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}; give the path of a .npz file")
    try:
        with path.open("rb") as raw:  # numpy leaves a broken file open
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ConfigurationError(f"{path} is a single array; save with numpy.savez(path, x_train=..., ...)")
            return {name: np.asarray(file[name]) for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error).lower():
            raise ConfigurationError(
                f"{path} holds Python objects (pickles), which are not loaded; save plain numeric or text arrays"
            ) from error
        raise ConfigurationError(f"{path} cannot be read as .npz: {error}; save it again with numpy.savez") from error
