"""Batch norms whose statistics are those of the batches of all ranks together.

Ranks that see parts of one batch then compute what one process computes on the whole batch, within rounding. All ranks
must run the same norms in the same order, forward and backward, on equally many examples; so a supernet takes such
norms only where a search drives all ranks in step, and extracted networks have plain ones.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from archwright.nets.fast import normalised


class _Mean(torch.autograd.Function):
    """Mean over the ranks of a tensor; so is that of its gradient, for each rank's loss depends on every rank."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return _mean(x)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:  # type: ignore[override]
        return _mean(grad)


def _mean(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total.div_(dist.get_world_size())


class JointNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm over the batches of all ranks; in evaluation mode a plain one."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        return normalised(x, [self], None)

    def over_ranks(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor, int]:
        """Normalise by the statistics of all ranks' values.

        Args:
            x: (b, c, ...), the same shape on every rank.
            weight: (c,), or None for ones.
            bias: (c,), or None for zeros.

        Returns:
            output, mean (c,), inverse deviation (c,), values a channel on all ranks.
        """
        values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        axes, shape = [0, *range(2, x.dim())], (1, -1, *(1,) * (x.dim() - 2))
        mean = _Mean.apply(values.mean(axes))
        centred = values - mean.view(shape)
        inverse = (_Mean.apply(centred.square().mean(axes)) + self.eps).rsqrt()
        out = centred * (inverse if weight is None else inverse * weight).view(shape)
        out = out if bias is None else out + bias.view(shape)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        return out.to(x.dtype), mean.detach(), inverse.detach(), count


class JointNorm1d(JointNorm, nn.BatchNorm1d):
    """Of features or series."""


class JointNorm2d(JointNorm, nn.BatchNorm2d):
    """Of images."""


class JointNorm3d(JointNorm, nn.BatchNorm3d):
    """Of volumes."""


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: JointNorm1d,
    nn.BatchNorm2d: JointNorm2d,
    nn.BatchNorm3d: JointNorm3d,
}


def join(module: nn.Module) -> nn.Module:
    """Turn a module's batch norms into joint ones, in place."""
    for one in module.modules():
        kind = KINDS.get(type(one))
        if kind is not None:
            object.__setattr__(one, "__class__", kind)
    return module


def is_joint(module: nn.Module) -> bool:
    """Whether a module has joint norms."""
    return any(isinstance(one, JointNorm) for one in module.modules())


__all__ = ["JointNorm", "is_joint", "join"]
