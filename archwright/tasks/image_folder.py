"""Folders of images: `folder/class/*.png`, or the same below `train/`, `valid/` and `test/`."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
PART_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}


@register("tasks", "image_folder", labels={"folder_with": []})
def image_folder(
    path: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    grey: bool | None = None,
    skip_unreadable: bool = False,
    seed: int = 0,
    valid_share: float = 0.2,
    test_share: float = 0.2,
    flip: bool = False,
) -> Task:
    """Images in one folder a class, `folder/class/*.png`, or such folders below train, valid and test.

    Args:
        path: the folder.
        size: height (and width) that all images get; their most frequent size when None, at most 224.
        grey: one channel instead of three; one if all of the first 32 images are grey when None.
        skip_unreadable: leave broken files out and list them in `task.preprocessing["skipped"]` instead of failing.
        seed: draws the hold-outs.
        valid_share: share of the training images held out if there is no valid folder.
        test_share: the same for the test folder.
        flip: whether mirrored training images are valid.

    Raises:
        ConfigurationError: if there are no class folders with images, or an image cannot be read.
    """
    root = Path(path)
    files = _files(root)
    skipped: list[str] = []
    every = [file for part in files.values() for file, _ in part]
    height, width, one_channel = _format(every, size, grey, skipped if skip_unreadable else None)
    x, y = {}, {}
    for part, members in files.items():
        planes, labels = [], []
        for file, label in members:
            plane = _read(file, height, width, one_channel, skipped if skip_unreadable else None)
            if plane is not None:
                planes.append(plane)
                labels.append(label)
        if not planes:
            raise ConfigurationError(f"no image of the {part} part of {root} can be read; check the files")
        x[part], y[part] = np.stack(planes), np.array(labels)
    lost = sorted(set(skipped))
    if lost:
        warnings.warn(
            f"{len(lost)} of {len(every)} images in {root} cannot be read and are left out, the first is {lost[0]}",
            stacklevel=2,
        )
    extra = {"size": [height, width], "mode": "L" if one_channel else "RGB", "skipped": lost}
    arrays = Arrays(x, y, root.resolve().name, extra=extra)
    return task_of(
        arrays,
        kind="classification",
        layout="image",
        seed=seed,
        valid_share=valid_share,
        test_share=test_share,
        flip=flip,
    )


def _files(root: Path) -> dict[str, list[tuple[Path, str]]]:
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {root}; give a folder with one folder of images for each class")
    parts = {PART_NAMES[d.name.lower()]: d for d in root.iterdir() if d.is_dir() and d.name.lower() in PART_NAMES}
    roots = parts if "train" in parts else {"train": root}
    found: dict[str, list[tuple[Path, str]]] = {}
    for part, folder in roots.items():
        found[part] = [
            (file, label.name)
            for label in sorted(d for d in folder.iterdir() if d.is_dir())
            for file in sorted(label.rglob("*"))
            if file.suffix.lower() in SUFFIXES
        ]
        if not found[part]:
            loose = sum(f.suffix.lower() in SUFFIXES for f in folder.iterdir())
            raise ConfigurationError(
                f"{folder} must hold one folder of images for each class (such as cats/1.png, dogs/2.png); "
                f"it holds {loose} loose images and no class folder with images"
            )
    return found


def _format(
    files: list[Path], size: int | tuple[int, int] | None, grey: bool | None, skipped: list[str] | None
) -> tuple[int, int, bool]:
    from PIL import Image, UnidentifiedImageError

    sizes: Counter[tuple[int, int]] = Counter()
    grey_only = True
    for file in files[:: max(1, len(files) // 32)]:
        try:
            with Image.open(file) as image:
                sizes[image.height, image.width] += 1
                grey_only &= image.mode in ("1", "L", "I;16", "I", "F", "LA")
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            if skipped is None:
                raise _unreadable(file, error) from error
            skipped.append(str(file))
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1:
            raise ConfigurationError(f"size must be positive pixels, got {size}")
    elif sizes:
        height, width = sizes.most_common(1)[0][0]
        shrink = min(1.0, 224 / max(height, width))
        height, width = max(1, round(height * shrink)), max(1, round(width * shrink))
    else:
        raise ConfigurationError(f"none of the images can be read, the first is {files[0]}")
    return height, width, grey_only if grey is None else grey


def _read(file: Path, height: int, width: int, grey: bool, skipped: list[str] | None) -> np.ndarray | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            plain = image.convert("L" if grey else "RGB")
            if plain.size != (width, height):
                plain = plain.resize((width, height), Image.Resampling.BILINEAR)
            plane = np.asarray(plain, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        if skipped is None:
            raise _unreadable(file, error) from error
        skipped.append(str(file))
        return None
    return plane[None] if grey else np.ascontiguousarray(plane.transpose(2, 0, 1))


def _unreadable(file: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the image {file} cannot be read: {error}; repair it, or load with the option skip_unreadable=true"
    )
