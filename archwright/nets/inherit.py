"""Weights of a trained network for a neighbour of it, so that the neighbour's training starts ahead.

As Tuli et al., "FlexiBERT" (2022), hand weights to neighbours of a trained design: layers that both share are copied,
of layers whose widths differ the part that both have. Parameters are matched by name, which in this package tells a
module's place in the network, and by the leading entries of every axis.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def inherit(net: nn.Module, donor: nn.Module) -> float:
    """Copy what a network has in common with a donor into it.

    Args:
        net: changed in place.
        donor: of the same space; parameters and buffers of the same name give their leading entries, if they have as
            many axes.

    Returns:
        Share of the network's weights that were copied.
    """
    given = donor.state_dict()
    copied = total = 0
    own = dict(net.named_parameters())
    for name, tensor in net.state_dict().items():
        total += tensor.numel() if name in own else 0
        source = given.get(name)
        if source is None or source.ndim != tensor.ndim:
            continue
        part = tuple(slice(0, min(a, b)) for a, b in zip(tensor.shape, source.shape, strict=True))
        tensor[part].copy_(source[part])
        copied += tensor[part].numel() if name in own else 0
    return copied / max(1, total)
