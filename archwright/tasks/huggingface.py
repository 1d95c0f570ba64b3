"""Hugging Face `datasets`: names on the hub (`hf:mnist`) and folders written by `save_to_disk`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archwright.errors import ConfigurationError, nearest, require
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, Kind, task_of
from archwright.tasks.tables import PART_WORDS, Column, task_of_columns

TARGETS = ("label", "labels", "target", "fine_label", "class", "y")


@register("tasks", "hf", labels={"prefix": "hf", "folder_with": ["dataset_info.json", "dataset_dict.json"]})
def huggingface(
    name: str | Path,
    *,
    config: str | None = None,
    input: str | None = None,
    target: str | None = None,
    kind: Kind | None = None,
    size: int | None = None,
    seed: int = 0,
    valid_share: float = 0.2,
    test_share: float = 0.2,
    flip: bool = False,
) -> Task:
    """A dataset of the Hugging Face `datasets` package, by name or as a folder of `save_to_disk`.

    An image column, or a column of fixed-size numeric sequences, is the input; else all number and text columns are.

    Args:
        name: name on the hub or path of a folder.
        config: configuration of the dataset on the hub.
        input: the input column; found by its type when None.
        target: the target column; `label`, `labels`, `target` or else the last column when None.
        kind: what the target is; read off its values when None.
        size: height and width of images; the first image's size when None.
        seed: draws the hold-outs.
        valid_share: share of the training rows held out if there is no validation split.
        test_share: the same for test.
        flip: whether mirrored training images are valid.

    Raises:
        ConfigurationError: if the dataset cannot be found or its columns cannot be used.
    """
    require("datasets", extra="hf", feature="Hugging Face datasets")
    parts = _load(name, config)
    columns = list(parts["train"].features)
    target = target or next((c for c in TARGETS if c in columns), columns[-1])
    for wanted in (target, input):
        if wanted is not None and wanted not in columns:
            raise ConfigurationError(f"the dataset {name} has no column {wanted!r}; {nearest(wanted, columns)}")
    label = Path(str(name)).name
    source = input or _input_column(parts["train"], target)
    if source is None:
        return _table(parts, label, target, kind, seed, (valid_share, test_share))
    shape = (size, size) if size else None
    x: dict[str, np.ndarray] = {}
    for part, rows in parts.items():
        x[part], shape = _stack(rows[source], source, shape)
    y = {part: np.asarray(rows[target]) for part, rows in parts.items()}
    names = getattr(parts["train"].features[target], "names", None)
    extra: dict[str, Any] = {"input_column": source, "target": target}
    if names:
        extra["class_names"] = list(names)
    return task_of(
        Arrays(x, y, label, extra=extra),
        kind=kind,
        seed=seed,
        valid_share=valid_share,
        test_share=test_share,
        flip=flip,
    )


def _load(name: str | Path, config: str | None) -> dict[str, Any]:
    import datasets

    try:
        if Path(name).is_dir() and any((Path(name) / f).exists() for f in ("dataset_info.json", "dataset_dict.json")):
            found = datasets.load_from_disk(str(name))
        else:
            found = datasets.load_dataset(str(name), config)
    except (OSError, ValueError, RuntimeError) as error:  # not found, no network, broken cache
        raise ConfigurationError(
            f"the dataset {str(name)!r} cannot be loaded: {str(error).splitlines()[0]}; "
            "check the name and the network, or give a folder written by save_to_disk"
        ) from error
    if not isinstance(found, Mapping):
        return {"train": found}
    parts = {PART_WORDS[k]: v for k, v in found.items() if k in PART_WORDS}
    if "train" not in parts:
        raise ConfigurationError(f"the dataset {str(name)!r} needs a train split, it has {sorted(found)}")
    return parts


def _input_column(rows: Any, target: str) -> str | None:
    import datasets

    for column, feature in rows.features.items():
        if column == target:
            continue
        arrays = (datasets.Image, datasets.Array2D, datasets.Array3D, datasets.Sequence, datasets.List)
        if isinstance(feature, arrays):
            return column
    return None


def _stack(values: Any, column: str, shape: tuple[int, int] | None) -> tuple[np.ndarray, tuple[int, int] | None]:
    planes = []
    for value in values:
        if hasattr(value, "convert"):  # a Pillow image
            if value.mode not in ("L", "RGB"):
                value = value.convert("L" if value.mode in ("1", "I", "F", "I;16") else "RGB")
            shape = shape or (value.height, value.width)
            if (value.height, value.width) != shape:
                value = value.resize((shape[1], shape[0]))
        planes.append(np.asarray(value))
    try:
        stacked = np.stack(planes)
    except ValueError as error:
        kinds = sorted({str(p.shape) for p in planes})[:4]
        raise ConfigurationError(
            f"the column {column!r} must hold inputs of one shape, got {kinds}; crop or pad them, or name another input"
        ) from error
    return (stacked.astype(np.float32) if stacked.dtype == np.float64 else stacked), shape


def _table(
    parts: Mapping[str, Any], name: str, target: str, kind: Kind | None, seed: int, shares: tuple[float, float]
) -> Task:
    joined: dict[str, list[Any]] = {c: [] for c in parts["train"].features}
    marks: list[str] = []
    for part, rows in parts.items():
        for column in joined:
            joined[column].extend(rows[column])
        marks.extend([part] * len(rows))
    columns: dict[str, Column] = {"split": np.array(marks, dtype=object)}
    for column, values in joined.items():
        first = next((v for v in values if v is not None), None)
        if isinstance(first, bool | int | float):
            columns[column] = np.array([np.nan if v is None else float(v) for v in values])
        elif isinstance(first, str) or first is None:
            columns[column] = np.array(["" if v is None else v for v in values], dtype=object)
        else:
            raise ConfigurationError(
                f"the column {column!r} holds {type(first).__name__} values; name the input column or remove it"
            )
    return task_of_columns(
        columns, name, target=target, kind=kind, drop=(), max_categories=32, seed=seed, shares=shares
    )
