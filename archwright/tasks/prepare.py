"""From arrays to a task: checks, kinds, label maps, hold-out splits and standardisation, for all kinds of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.tasks.augment import ShiftFlip
from archwright.tasks.base import Classification, Regression, Task
from archwright.tasks.split import Augment, TensorSplit

Kind = Literal["classification", "regression"]
Layout = Literal["image", "series", "table"]
PARTS = ("train", "valid", "test")
LAZY_BYTES = 512 * 2**20  # uint8 data whose float32 copy is larger stays uint8 and is standardised batch by batch


@dataclass
class Arrays:
    """Raw arrays of a data set; missing valid and test parts are held out of train."""

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    name: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standard:
    """`(x * scale - mean) / std` with (C, 1, 1), (C, 1) or (F,) statistics."""

    scale: float
    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise a batch."""
        mean, std = self.mean.to(x.device), self.std.to(x.device)
        return (x.float() * self.scale - mean) / std


def task_of(
    arrays: Arrays,
    *,
    kind: Kind | None = None,
    layout: Layout | None = None,
    seed: int = 0,
    valid_share: float = 0.2,
    test_share: float = 0.2,
    scale: float | None = None,
    flip: bool = False,
    standardise: bool = True,
) -> Task:
    """Check arrays and make a task of them.

    Args:
        arrays: parts named train, valid, test; images (N, H, W), (N, C, H, W) or (N, H, W, C), series (N, C, L),
            tables (N, F); targets (N,) labels or values, or (N, K) values.
        kind: what the targets are; read off their type when None (`infer_kind`).
        layout: what x is; read off its axes when None (`infer_layout`).
        seed: draws the hold-outs.
        valid_share: share of the training rows held out where no valid part is given.
        test_share: the same for the test part.
        scale: factor on raw x before standardisation; 1/255 for uint8 when None.
        flip: whether mirrored training images are still valid.
        standardise: whether x is shifted and scaled by the training part's mean and deviation.

    Raises:
        ConfigurationError: if the arrays are not what they must be.
    """
    for part in arrays.x:
        _check_part(arrays, part)
    kind = kind or infer_kind(arrays.y["train"])
    layout = layout or infer_layout(arrays.x["train"])
    x = {part: _channels_first(v, layout) for part, v in arrays.x.items()}
    shapes = {part: v.shape[1:] for part, v in x.items()}
    if len(set(shapes.values())) > 1:
        raise ConfigurationError(f"{arrays.name}: all parts must have one input shape, got {shapes}")
    y, classes = _targets(arrays, kind)
    rng = np.random.default_rng([seed, 0x5EED])
    _hold_out(x, y, "test", test_share, rng, kind)
    _hold_out(x, y, "valid", valid_share, rng, kind)
    factor = scale if scale is not None else (1.0 / 255.0 if x["train"].dtype == np.uint8 else 1.0)
    standard = _standard(x["train"], factor, layout, standardise)
    splits = {part: _split(x[part], y[part], standard) for part in PARTS}
    preprocessing: dict[str, Any] = {
        **arrays.extra,
        "layout": layout,
        "scale": factor,
        "mean": standard.mean.flatten().tolist(),
        "std": standard.std.flatten().tolist(),
        "formula": "(x * scale - mean) / std, per channel (images, series) or feature (tables)",
    }
    shape = tuple(int(s) for s in x["train"].shape[1:])
    common: dict[str, Any] = {
        "name": arrays.name,
        "input_shape": shape,
        **splits,
        "preprocessing": preprocessing,
        "augmentation": _augmentation(shape, layout, flip),
    }
    if kind == "classification":
        preprocessing["classes"] = list(classes)
        return Classification(outputs=len(classes), classes=classes, **common)
    mean, std = y["train"].mean(axis=0, dtype=np.float64), y["train"].std(axis=0, dtype=np.float64)
    std = np.where(std > 0, std, 1.0)
    preprocessing["target_mean"], preprocessing["target_std"] = mean.tolist(), std.tolist()
    return Regression(outputs=y["train"].shape[1], target_mean=tuple(mean), target_std=tuple(std), **common)


def infer_kind(y: np.ndarray) -> Kind:
    """Classification for text, booleans and integers, regression for floats, several columns and many integers.

    Integers with more than 50 different values that are also more than a twentieth of the rows are values.
    """
    if y.ndim > 1 and y.shape[1] > 1:
        return "regression"
    if y.dtype.kind == "f":
        return "regression"
    if y.dtype.kind in "iu":
        distinct = len(np.unique(y))
        return "regression" if distinct > 50 and distinct > len(y) / 20 else "classification"
    return "classification"


def infer_layout(x: np.ndarray) -> Layout:
    """Four axes or square or integer planes are images, other three axes series, two axes tables."""
    if x.ndim == 2:
        return "table"
    if x.ndim == 3:
        return "image" if x.dtype == np.uint8 or x.shape[1] == x.shape[2] else "series"
    return "image"


def hold_out(y: np.ndarray, share: float, rng: np.random.Generator, *, stratify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sorted row numbers (kept, held out); with `stratify` each class of y (n,) loses the same share.

    A class with two rows or more keeps at least one and gives at least one.
    """
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if stratify else [np.arange(len(y))]
    held = []
    for rows in groups:
        count = int(np.clip(round(share * len(rows)), min(1, len(rows) - 1), max(len(rows) - 1, 0)))
        held.append(rng.permutation(rows)[:count])
    out = np.sort(np.concatenate(held))
    mask = np.ones(len(y), dtype=bool)
    mask[out] = False
    return np.flatnonzero(mask), out


def _check_part(arrays: Arrays, part: str) -> None:
    x, y, where = arrays.x[part], arrays.y[part], f"{arrays.name}: x_{part}"
    if x.dtype.kind not in "fiub":
        raise ConfigurationError(f"{where} must hold numbers, got {x.dtype}; convert it to uint8 or float32 first")
    if not 2 <= x.ndim <= 4:
        raise ConfigurationError(
            f"{where} must be images (N,H,W) or (N,C,H,W), series (N,C,L) or tables (N,F), got shape {x.shape}"
        )
    if len(x) != len(y):
        raise ConfigurationError(f"{where} has {len(x)} rows and y_{part} {len(y)}; they must be equally many")
    if len(x) == 0:
        raise ConfigurationError(f"{where} has no rows")
    if x.dtype.kind == "f":
        finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if not finite.all():
            first = int(np.flatnonzero(~finite)[0])
            raise ConfigurationError(
                f"{where} must be finite, got NaN or infinity in {int((~finite).sum())} rows, first in row {first}; "
                "drop or fill them"
            )


def _channels_first(x: np.ndarray, layout: Layout) -> np.ndarray:
    axes = {"image": (3, 4), "series": (3,), "table": (2,)}[layout]
    if x.ndim not in axes:
        raise ConfigurationError(f"layout {layout!r} needs {axes} axes with the rows, got an array of shape {x.shape}")
    if layout == "image" and x.ndim == 3:
        return x[:, None]
    if layout == "image" and x.shape[-1] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return np.ascontiguousarray(np.moveaxis(x, -1, 1))
    return x


def _targets(arrays: Arrays, kind: Kind) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    flat = {part: v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for part, v in arrays.y.items()}
    if kind == "regression":
        return {part: _values(v, f"{arrays.name}: y_{part}") for part, v in flat.items()}, ()
    for part, v in flat.items():
        if v.ndim != 1:
            raise ConfigurationError(
                f"{arrays.name}: y_{part} must be one label a row, got shape {v.shape}; "
                "for several values use kind='regression'"
            )
        if v.dtype.kind == "f" and not (np.isfinite(v).all() and (v == np.round(v)).all()):
            raise ConfigurationError(
                f"{arrays.name}: y_{part} holds fractions or NaN, which are no class labels; use kind='regression'"
            )
    labels = np.unique(flat["train"])
    if len(labels) < 2:
        raise ConfigurationError(
            f"{arrays.name}: a classification needs two classes or more, got only {labels.tolist()} in y_train"
        )
    out = {}
    for part, v in flat.items():
        index = np.clip(np.searchsorted(labels, v), 0, len(labels) - 1)
        unknown = labels[index] != v
        if unknown.any():
            raise ConfigurationError(
                f"{arrays.name}: y_{part} has the label {v[unknown][0]!s}, which is not in y_train; "
                f"the classes are {[str(c) for c in labels[:10]]}"
            )
        out[part] = index.astype(np.int64)
    return out, tuple(str(int(c)) if labels.dtype.kind == "f" else str(c) for c in labels)


def _values(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind not in "fiub":
        raise ConfigurationError(
            f"{where} must hold numbers for a regression, got {y.dtype}; use kind='classification'"
        )
    if not np.isfinite(y.astype(np.float64)).all():
        raise ConfigurationError(f"{where} must be finite, got NaN or infinity; drop those rows")
    return y.astype(np.float32).reshape(len(y), -1)


def _hold_out(
    x: dict[str, np.ndarray], y: dict[str, np.ndarray], part: str, share: float, rng: np.random.Generator, kind: Kind
) -> None:
    if part in x:
        return
    if not 0.0 < share < 1.0:
        raise ConfigurationError(f"{part}_share must lie between 0 and 1, got {share}")
    count = len(x["train"])
    stratify = kind == "classification"
    kept, held = hold_out(y["train"], share, rng, stratify=stratify)
    few = stratify and np.bincount(y["train"]).min() < 2
    if len(held) == 0 or len(kept) < 2 or few:
        raise ConfigurationError(
            f"too few rows to hold out a {part} part: {count} training rows"
            + (", a class has only one row" if few else "")
            + f"; give x_{part} and y_{part} or more rows"
        )
    x[part], y[part] = x["train"][held], y["train"][held]
    x["train"], y["train"] = x["train"][kept], y["train"][kept]


def _standard(x: np.ndarray, factor: float, layout: Layout, wanted: bool) -> Standard:
    axes = (0,) if layout == "table" else (0, *range(2, x.ndim))
    tail = () if layout == "table" else (1,) * (x.ndim - 2)
    if not wanted:
        return Standard(factor, torch.zeros(x.shape[1], *tail), torch.ones(x.shape[1], *tail))
    total = float(np.prod([x.shape[a] for a in axes]))
    mean = np.zeros(x.shape[1])
    square = np.zeros(x.shape[1])
    for start in range(0, len(x), 4096):  # in pieces: a float64 copy of all images would be 8 times their size
        piece = x[start : start + 4096].astype(np.float64) * factor
        mean += piece.sum(axis=axes) / total
        if start == 0:
            pivot = piece.mean(axis=axes).reshape(-1, *tail)
        square += ((piece - pivot) ** 2).sum(axis=axes) / total
    std = np.sqrt(np.maximum(square - (mean - pivot.reshape(-1)) ** 2, 0.0))
    std = np.where(std > 1e-8 * np.maximum(1.0, np.abs(mean)), std, 1.0)  # a constant column is only shifted
    return Standard(
        factor,
        torch.tensor(mean, dtype=torch.float32).reshape(-1, *tail),
        torch.tensor(std, dtype=torch.float32).reshape(-1, *tail),
    )


def _split(x: np.ndarray, y: np.ndarray, standard: Standard) -> TensorSplit:
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    raw = torch.from_numpy(np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32)))
    targets = torch.from_numpy(np.ascontiguousarray(y))
    if raw.dtype == torch.uint8 and raw.numel() * 4 > LAZY_BYTES:
        return TensorSplit(raw, targets, finish=standard)
    return TensorSplit(standard(raw), targets)


def _augmentation(shape: tuple[int, ...], layout: Layout, flip: bool) -> Augment | None:
    if layout != "image":
        return None
    return ShiftFlip(shift=max(1, min(shape[1:]) // 8), flip=flip)


__all__ = ["PARTS", "Arrays", "Kind", "Layout", "Standard", "hold_out", "infer_kind", "infer_layout", "task_of"]
