"""Light image augmentation on whole batches: a random shift with zero padding, and a mirror image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ShiftFlip:
    """Padding crop (He et al., 2016, section 4.2: 4 pixels at 32) and horizontal mirror.

    Attributes:
        shift: largest shift in pixels along height and width.
        flip: whether half of the images are mirrored; wrong for digits and letters.
    """

    shift: int
    flip: bool

    def __call__(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Augment images (b, C, H, W) or series (b, C, L) that are standardised, so that zero is the mean."""
        count = len(x)
        if self.flip:
            mirrored = torch.from_numpy(rng.random(count) < 0.5).to(x.device)
            x = torch.where(mirrored.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
        if not self.shift:
            return x
        pad, size = self.shift, x.shape[2:]
        windows = F.pad(x, [pad, pad] * len(size))
        for axis, length in enumerate(size):
            windows = windows.unfold(2 + axis, length, 1)  # (b, C, shifts..., rest..., lengths...)
        rows = torch.arange(count, device=x.device)
        starts = [torch.from_numpy(rng.integers(0, 2 * pad + 1, count)).to(x.device) for _ in size]
        index: Any = (rows, slice(None), *starts)
        return windows[index]


__all__ = ["ShiftFlip"]
