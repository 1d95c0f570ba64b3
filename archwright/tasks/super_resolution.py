"""Super-resolution: patches of small images, and the same patches at a multiple of the size.

Low resolution is given, or made by the bicubic reduction with a wide kernel that the field uses (that of MATLAB's
`imresize` and of Pillow). The metric is the field's: PSNR of the 8-bit luma (ITU-R BT.601) without a border as wide as
the scale, mean over images (Lim et al., 2017, section 4.2); `psnr_rgb_db` is that of all channels. Networks read and
give values in [0, 1] and learn by mean absolute error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.errors import ConfigurationError, EvaluationError
from archwright.registry import register
from archwright.tasks.arrays import read_npz
from archwright.tasks.base import Shape, SplitName, Task
from archwright.tasks.image_folder import SUFFIXES
from archwright.tasks.split import Augment, Batch, Split, TensorSplit

Images = Sequence[np.ndarray] | np.ndarray | str | Path
LUMA = (65.481, 128.553, 24.966)  # of red, green and blue in [0, 1]; black is 16, white 235
BEST_DB = 100.0  # of images that are equal
FEW = 5  # images; fewer are divided by region instead of image by image


@dataclass(frozen=True, eq=False)
class SuperResolution(Task):
    """Images (b, 3, h, w) in [0, 1] to images of `scale` times the size; targets are uint8."""

    scale: int = 2

    kind: ClassVar[str] = "super_resolution"
    metric: ClassVar[str] = "psnr_db"
    metrics: ClassVar[tuple[str, ...]] = ("psnr_db", "psnr_rgb_db")
    maximize: ClassVar[bool] = True

    @property
    def output_shape(self) -> Shape:
        """(channels, scale x height, scale x width)."""
        _, height, width = self.input_shape
        return self.outputs, self.scale * height, self.scale * width

    def check(self, outputs: Tensor) -> None:
        """See that outputs are images; their size is compared with the targets'."""
        if outputs.ndim != 4 or outputs.shape[1] != self.outputs:
            raise EvaluationError(
                f"the task {self.name!r} needs outputs of shape (batch, {self.outputs}, height, width), the network "
                f"gives {tuple(outputs.shape)}; take a space of image networks, such as 'quantnas'"
            )

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Targets in [0, 1], of the size of the outputs."""
        if outputs.shape != targets.shape:
            raise EvaluationError(
                f"the task {self.name!r} enlarges images {self.scale} times: outputs must have the shape "
                f"{tuple(targets.shape)}, the network gives {tuple(outputs.shape)}; set the scale of its up-sampling"
            )
        return targets.to(outputs.dtype) / 255.0

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean absolute error; smoothing has no meaning here."""
        return F.l1_loss(outputs, self._values(outputs, targets))

    def distill(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Mean absolute distance to the teacher's image."""
        return F.l1_loss(outputs, teacher.detach())

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """PSNR of luma and of all channels, mean over images."""
        return self.measure_batches([(outputs, targets)])

    def measure_batches(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """PSNR batch by batch, so that images are not all kept."""
        of_luma, of_all = [], []
        for outputs, targets in pairs:
            found, true = 255.0 * outputs.float(), 255.0 * self._values(outputs, targets).float()
            found = found.clamp(0.0, 255.0).round()
            of_luma.append(psnr(luma(found), luma(true), border=self.scale))
            of_all.append(psnr(found, true, border=self.scale))
        return {"psnr_db": float(torch.cat(of_luma).mean()), "psnr_rgb_db": float(torch.cat(of_all).mean())}

    def baselines(self, split: SplitName = "test") -> dict[str, dict[str, float]]:
        """Metrics of bicubic enlargement."""
        return {"bicubic enlargement": self.bicubic(split)}

    def bicubic(self, split: SplitName | Split = "test") -> dict[str, float]:
        """Metrics of bicubic enlargement, what any network has to beat."""
        data = self.split(split) if isinstance(split, str) else split
        return self.measure_batches((resized(x, self.scale), y) for x, y in data.batches(64) if isinstance(x, Tensor))


class WholeImages(Split):
    """Images of different sizes, one a batch: for measuring a network on test sets as they are published."""

    def __init__(self, high: Images, low: Images | None = None, *, scale: int = 2) -> None:
        self.high = [_cropped(v, scale) for v in read_images(high)]
        made = [_reduced(v, scale) for v in self.high]
        self.low = made if low is None else _paired(self.high, read_images(low), scale)

    def __len__(self) -> int:
        return len(self.high)

    def batches(
        self,
        size: int,
        *,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
    ) -> Iterator[Batch]:
        """One image after the other, in their order; the arguments have no effect."""
        for low, high in zip(self.low, self.high, strict=True):
            yield as_input(torch.from_numpy(low[None])), torch.from_numpy(high[None])

    def take(self, count: int, rng: np.random.Generator) -> TensorSplit:
        """Images of different sizes are no tensor."""
        raise ConfigurationError("whole images are for measuring alone; train on the patches of the task")


@register(
    "tasks", "super_resolution", labels={"kind": "super_resolution", "input": "3 x 24 x 24 images, enlarged twice"}
)
def super_resolution(
    *,
    high: Images | None = None,
    low: Images | None = None,
    groups: Sequence[int] | np.ndarray | None = None,
    scale: int = 2,
    patch: int = 24,
    seed: int = 0,
    valid_share: float = 0.15,
    test_share: float = 0.2,
) -> Task:
    """Images at high resolution, divided into patches; two photographs that scikit-learn brings when none are given.

    Five images or more are divided into train, valid and test by image, fewer by region: the first part of every image
    along its longer side is for training, the next for validation, the last for the test. Low resolution is made within
    the regions, so that no pixel of one part enters another.

    Args:
        high: images: a folder, an .npz file of arrays, or arrays (H, W, 3), (3, H, W), (H, W) or stacks of these;
            uint8, or floats in [0, 1]. Grey images become three equal channels.
        low: the same images at low resolution, in the same order; made by bicubic reduction when None.
        groups: (images,) number of the scene that each image shows; those of a scene stay in one part.
        scale: high over low resolution.
        patch: height and width of a patch at low resolution.
        seed: draws the images of the parts.
        valid_share: of images or of the length of each image.
        test_share: the same for the test part.

    Raises:
        ConfigurationError: if an image cannot be read, is too small, or pairs do not fit.
    """
    _check_numbers(scale, patch, valid_share, test_share)
    images = [_cropped(v, scale) for v in read_images(_photographs() if high is None else high)]
    small = [None] * len(images) if low is None else _paired(images, read_images(low), scale)
    scenes = np.arange(len(images)) if groups is None else np.asarray(groups)
    if scenes.shape != (len(images),):
        raise ConfigurationError(f"groups must be one number an image, got shape {scenes.shape} for {len(images)}")
    shares = (valid_share, test_share)
    if len(np.unique(scenes)) >= FEW:
        parts = _by_scene(images, small, scenes, shares, np.random.default_rng([seed, 0x5C]))
    else:
        parts = _by_region(images, small, shares, scale)
    splits: dict[str, Any] = {name: _patches(pairs, patch, scale, name) for name, pairs in parts.items()}
    preprocessing = {
        "scale": scale,
        "patch": patch,
        "formula": "RGB / 255",
        "metric": f"PSNR of 8-bit luma (BT.601) without a border of {scale} pixels, mean over patches",
    }
    shape = (3, patch, patch)
    return SuperResolution("super_resolution", shape, 3, **splits, preprocessing=preprocessing, scale=scale)


# ---- images ----------------------------------------------------------------------------------------------------------


def resized(x: Tensor, factor: float) -> Tensor:
    """Images (b, c, h, w) in [0, 1], enlarged or reduced by the bicubic kernel with a = -1/2, rounded to 8 bits."""
    found = F.interpolate(x, scale_factor=factor, mode="bicubic", antialias=True)
    return (found.clamp(0.0, 1.0) * 255.0).round() / 255.0


def luma(x: Tensor) -> Tensor:
    """Luma (b, 1, h, w) of images (b, 3, h, w), both in [0, 255] (ITU-R BT.601, studio range)."""
    weights = torch.tensor(LUMA, dtype=x.dtype, device=x.device).view(1, 3, 1, 1) / 255.0
    return (x * weights).sum(dim=1, keepdim=True) + 16.0


def psnr(x: Tensor, y: Tensor, *, border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio (b,) in dB of images (b, c, h, w) in [0, 255] without `border` pixels on each side."""
    inner = (slice(None), slice(None), slice(border, x.shape[2] - border), slice(border, x.shape[3] - border))
    error = (x[inner].double() - y[inner].double()).square().mean(dim=(1, 2, 3))
    return (10.0 * torch.log10(255.0**2 / error.clamp_min(1e-30))).clamp_max(BEST_DB)


def as_input(x: Tensor) -> Tensor:
    """What a network reads of uint8 images."""
    return x.float() / 255.0


def read_images(source: Images) -> list[np.ndarray]:
    """Images (3, H, W) uint8 of a folder, an .npz file or arrays.

    Raises:
        ConfigurationError: if there are none, or one is no image.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        named = _folder(path) if path.is_dir() else read_npz(path)
        found = [image for name, array in named.items() for image in _planes(array, name)]
    else:
        found = [image for i, array in enumerate(source) for image in _planes(np.asarray(array), f"image {i}")]
    if not found:
        raise ConfigurationError(f"there are no images in {source if isinstance(source, str | Path) else 'the arrays'}")
    return found


def _folder(path: Path) -> dict[str, np.ndarray]:
    from PIL import Image, UnidentifiedImageError

    found = {}
    for file in sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES):
        try:
            with Image.open(file) as image:
                found[str(file)] = np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise ConfigurationError(f"the image {file} cannot be read: {error}; repair or remove it") from error
    return found


def _photographs() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def _planes(array: np.ndarray, name: str) -> list[np.ndarray]:
    """The images (3, H, W) uint8 of one array."""
    if array.ndim == 4:
        return [image for i, one in enumerate(array) for image in _planes(one, f"{name}[{i}]")]
    if array.ndim == 3 and 3 not in (array.shape[0], array.shape[-1]):
        return [image for i, one in enumerate(array) for image in _planes(one, f"{name}[{i}]")]
    if array.ndim == 2:
        array = np.stack([array] * 3)
    if array.ndim != 3 or min(array.shape) < 1:
        raise ConfigurationError(f"{name} must be (H, W, 3), (3, H, W) or (H, W), got shape {array.shape}")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0.0 and array.max() <= 1.0):
            raise ConfigurationError(f"{name} holds floats outside [0, 1]; divide by the white level, or give uint8")
        array = np.round(array * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ConfigurationError(f"{name} must be uint8 or floats in [0, 1], got {array.dtype}")
    return [np.ascontiguousarray(array if array.shape[0] == 3 else array.transpose(2, 0, 1))]


def _cropped(image: np.ndarray, scale: int) -> np.ndarray:
    """The largest part whose sides are multiples of the scale."""
    _, height, width = image.shape
    return image[:, : height - height % scale, : width - width % scale]


def _reduced(image: np.ndarray, scale: int) -> np.ndarray:
    x = resized(as_input(torch.from_numpy(np.ascontiguousarray(image))[None]), 1.0 / scale)
    return np.asarray((x[0] * 255.0).round().to(torch.uint8))


def _paired(high: list[np.ndarray], low: list[np.ndarray], scale: int) -> list[np.ndarray]:
    if len(high) != len(low):
        raise ConfigurationError(
            f"there must be as many images of low as of high resolution, got {len(low)}, {len(high)}"
        )
    for i, (large, small) in enumerate(zip(high, low, strict=True)):
        if large.shape[1:] != (scale * small.shape[1], scale * small.shape[2]):
            raise ConfigurationError(
                f"image {i} is {large.shape[1:]} at high and {small.shape[1:]} at low resolution, which is not "
                f"{scale} times smaller; set scale, or check that both are in one order"
            )
    return low


# ---- parts -----------------------------------------------------------------------------------------------------------

Pair = tuple[np.ndarray, np.ndarray | None]  # high resolution, and low where it is given


def _check_numbers(scale: int, patch: int, valid_share: float, test_share: float) -> None:
    if scale < 2 or patch < 4:
        raise ConfigurationError(
            f"super-resolution needs scale >= 2 and patches of 4 pixels or more, got {scale}, {patch}"
        )
    if not (valid_share > 0.0 and test_share > 0.0 and valid_share + test_share < 1.0):
        raise ConfigurationError(
            f"valid_share and test_share must be positive, below 1 in sum: {valid_share}, {test_share}"
        )


def _by_scene(
    high: list[np.ndarray],
    low: Sequence[np.ndarray | None],
    scenes: np.ndarray,
    shares: tuple[float, float],
    rng: np.random.Generator,
) -> dict[str, list[Pair]]:
    order = rng.permutation(np.unique(scenes))
    valid, test = (max(1, round(share * len(order))) for share in shares)
    members = {"valid": order[:valid], "test": order[valid : valid + test], "train": order[valid + test :]}
    pairs = list(zip(high, low, strict=True))
    return {name: [pairs[i] for i in np.flatnonzero(np.isin(scenes, some))] for name, some in members.items()}


def _by_region(
    high: list[np.ndarray], low: Sequence[np.ndarray | None], shares: tuple[float, float], scale: int
) -> dict[str, list[Pair]]:
    parts: dict[str, list[Pair]] = {"train": [], "valid": [], "test": []}
    for large, small in zip(high, low, strict=True):
        axis = 1 if large.shape[1] > large.shape[2] else 2
        length = large.shape[axis] // scale
        cuts = [0, round(length * (1.0 - sum(shares))), round(length * (1.0 - shares[1])), length]
        for name, begin, end in zip(parts, cuts, cuts[1:], strict=False):
            region = np.arange(begin, end)
            wide = np.arange(begin * scale, end * scale)
            parts[name].append((large.take(wide, axis), None if small is None else small.take(region, axis)))
    return parts


def _patches(pairs: list[Pair], patch: int, scale: int, name: str) -> TensorSplit:
    """All patches of a grid over each image; what is left at its right and lower side is not used."""
    xs, ys = [], []
    for large, small in pairs:
        little = _reduced(large, scale) if small is None else small
        if min(little.shape[1:]) < patch:
            raise ConfigurationError(
                f"an image or region of the {name} part is {little.shape[1:]} pixels at low resolution, smaller than a "
                f"patch of {patch}; set patch to {min(little.shape[1:])} or less, or leave small images out"
            )
        xs.append(_grid(little, patch))
        ys.append(_grid(large, patch * scale))
    x, y = (torch.from_numpy(np.concatenate(v)) for v in (xs, ys))
    return TensorSplit(x, y, finish=as_input)


def _grid(image: np.ndarray, size: int) -> np.ndarray:
    """Squares (n, 3, size, size) of an image (3, H, W), row by row."""
    rows, columns = image.shape[1] // size, image.shape[2] // size
    cut = image[:, : rows * size, : columns * size].reshape(3, rows, size, columns, size)
    return np.ascontiguousarray(cut.transpose(1, 3, 0, 2, 4).reshape(-1, 3, size, size))


__all__ = ["SuperResolution", "WholeImages", "luma", "psnr", "read_images", "resized"]
