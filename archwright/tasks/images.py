"""Subsets of CIFAR-10, MNIST and BSD100 in compact files of the external data folder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archwright.data import data_file
from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.tasks.arrays import read_npz
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, task_of
from archwright.tasks.super_resolution import super_resolution


def undelta(difference: np.ndarray) -> np.ndarray:
    """Images (N, 3, H, W) uint8 from wrap-around differences.

    Stored are green-relative red and blue, then differences along width and height, all modulo 256.
    """
    x = np.cumsum(difference, axis=2, dtype=np.uint8)
    x = np.cumsum(x, axis=3, dtype=np.uint8)
    x[:, 0] += x[:, 1]
    x[:, 2] += x[:, 1]
    return x


@register("tasks", "cifar10_20k", labels={"kind": "classification", "input": "3 x 32 x 32 images", "external": True})
def cifar10_20k(*, seed: int = 0, valid_share: float = 0.125, pixels: int = 32, images: int = 16_000) -> Task:
    """CIFAR-10 subset (Krizhevsky, 2009): 16,000 training and 4,000 test images, stratified.

    Args:
        seed: draws the valid part.
        valid_share: share of the training images that becomes the valid part.
        pixels: height and width, 32 or 16; smaller images are means of 2 x 2 pixels.
        images: of the training images the first so many; they are shuffled.

    Raises:
        ConfigurationError: if a size is not offered.
    """
    found = read_npz(data_file("train/cifar10_20k.npz"))
    x = _decoded(found, "cifar10_20k", pixels, images)
    y = {part: found[f"y_{part}"][: len(v)].astype(np.int64) for part, v in x.items()}
    names = [str(c) for c in found["classes"]]
    arrays = Arrays(x, y, "cifar10_20k", extra={"class_names": names})
    return task_of(arrays, kind="classification", seed=seed, valid_share=valid_share, flip=True)


@register("tasks", "cifar100_12k", labels={"kind": "classification", "input": "3 x 32 x 32 images", "external": True})
def cifar100_12k(
    *, seed: int = 0, valid_share: float = 0.125, pixels: int = 32, images: int = 10_000, coarse: bool = False
) -> Task:
    """CIFAR-100 subset (Krizhevsky, 2009): 10,000 training and 2,000 test images, stratified.

    Args:
        seed: draws the valid part.
        valid_share: share of the training images that becomes the valid part.
        pixels: height and width, 32 or 16; smaller images are means of 2 x 2 pixels.
        images: of the training images the first so many; they are shuffled.
        coarse: learn the 20 superclasses instead of the 100 classes.

    Raises:
        ConfigurationError: if a size is not offered.
    """
    found = read_npz(data_file("train/cifar100_12k.npz"))
    x = _decoded(found, "cifar100_12k", pixels, images)
    kind, classes = ("ycoarse", "coarse_classes") if coarse else ("y", "classes")
    y = {part: found[f"{kind}_{part}"][: len(v)].astype(np.int64) for part, v in x.items()}
    arrays = Arrays(x, y, "cifar100_12k", extra={"class_names": [str(c) for c in found[classes]]})
    return task_of(arrays, kind="classification", seed=seed, valid_share=valid_share, flip=True)


def _decoded(found: Mapping[str, np.ndarray], name: str, pixels: int, images: int) -> dict[str, np.ndarray]:
    """Images (N, 3, pixels, pixels) uint8 of both parts, of the training part the first so many."""
    most = len(found["x_train_delta"])
    if pixels not in (16, 32) or not 1 <= images <= most:
        raise ConfigurationError(f"{name} has 16 or 32 pixels and 1 to {most:,} images, got {pixels} and {images}")
    x = {part: undelta(found[f"x_{part}_delta"][:count]) for part, count in (("train", images), ("test", None))}
    if pixels == 16:
        x = {part: v.reshape(-1, 3, 16, 2, 16, 2).mean((3, 5)).round().astype(np.uint8) for part, v in x.items()}
    return x


@register("tasks", "mnist_25k", labels={"kind": "classification", "input": "1 x 28 x 28 images", "external": True})
def mnist_25k(*, seed: int = 0, valid_share: float = 0.125) -> Task:
    """MNIST subset (LeCun et al., 1998): 20,000 training and 5,000 test images, stratified.

    Args:
        seed: draws the valid part.
        valid_share: share of the training images that becomes the valid part.
    """
    found = read_npz(data_file("train/mnist_25k.npz"))
    x = {part: found[f"x_{part}"] for part in ("train", "test")}
    y = {part: found[f"y_{part}"].astype(np.int64) for part in ("train", "test")}
    return task_of(Arrays(x, y, "mnist_25k"), kind="classification", seed=seed, valid_share=valid_share)


@register(
    "tasks",
    "bsd100_patches",
    labels={"kind": "super_resolution", "input": "3 x 40 x 40 images, enlarged twice", "external": True},
)
def bsd100_patches(*, seed: int = 0, patch: int = 40, valid_share: float = 0.15, test_share: float = 0.2) -> Task:
    """Super-resolution by two on 300 patches of BSD100 (Martin et al., 2001), divided by image.

    Args:
        seed: draws the images of the parts.
        patch: height and width at low resolution, 40 at most; smaller ones are cut from the stored patches.
        valid_share: of the images.
        test_share: of the images.
    """
    found = read_npz(data_file("train/sr_bsd100_patches_x2.npz"))
    return super_resolution(
        high=undelta(found["hr_delta"]),
        low=undelta(found["lr_delta"]),
        groups=found["image_id"],
        patch=patch,
        seed=seed,
        valid_share=valid_share,
        test_share=test_share,
    )
