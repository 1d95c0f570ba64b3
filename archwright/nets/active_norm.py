"""Layer and RMS norms of superposed networks: statistics over the channels that each of them has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archwright.operators.norm import ChannelRMSNorm


class ActiveNorm(nn.Module):
    """Layer or RMS norm mixed over settings with different numbers of active channels.

    For each setting j the statistics are those of its first s_j channels; the output is the weighted sum. `share`
    (settings,) and `kept` (settings, channels) are set before a call.
    """

    share: Tensor
    kept: Tensor

    def __init__(self, norm: nn.Module, axis: int) -> None:
        super().__init__()
        self.weight: Any = norm.weight
        self.bias: Any = getattr(norm, "bias", None)
        self.eps = getattr(norm, "eps", None) or (1e-5 if not is_rms(norm) else torch.finfo(torch.float32).eps)
        self.centred, self.axis = not is_rms(norm), axis

    def forward(self, x: Tensor) -> Tensor:
        """(b, ..., c) or (b, c, ...) -> the same shape."""
        last = x.movedim(self.axis, -1)
        count = self.kept.sum(1)  # (settings,)
        square = (last * last) @ self.kept.T / count  # (..., settings)
        mean = last @ self.kept.T / count if self.centred else torch.zeros_like(square)
        scale = self.share * torch.rsqrt(square - mean * mean + self.eps)
        out = last * (scale @ self.kept) - (scale * mean) @ self.kept
        out = out * self.weight
        if self.bias is not None:
            out = out + self.bias * (self.share @ self.kept)
        return out.movedim(-1, self.axis)


def is_rms(norm: nn.Module) -> bool:
    """Whether a norm leaves the mean in place."""
    return isinstance(norm, nn.RMSNorm | ChannelRMSNorm)


__all__ = ["ActiveNorm"]
