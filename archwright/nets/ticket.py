"""A sparse network taken to another task: everything but its head, zeros included (SuperTickets)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archwright.errors import EvaluationError
from archwright.nets.masks import MASKED, masks_of


@torch.no_grad()
def carry(ticket: nn.Module, net: nn.Module) -> dict[str, Tensor]:
    """Copy a sparse network into a fresh one of the same architecture with a head for another task.

    You et al., "SuperTickets", ECCV 2022, section 4.4: tickets of one task keep their connections on another, only the
    head is new. `masked(net, masks)` of `analysis/random_sparse.py` then keeps the zeros while `train` tunes the rest.

    Args:
        ticket: trained, masked weights are zero.
        net: for the other task, changed in place but for its last linear map or convolution, the head.

    Returns:
        Name of a layer -> mask of its weight; the head has none.

    Raises:
        EvaluationError: if the networks differ in more than the head.
    """
    masks = masks_of(ticket)
    *_, head = [name for name, m in net.named_modules() if isinstance(m, MASKED)]
    given = ticket.state_dict()
    own = {k: v for k, v in net.state_dict().items() if k.rpartition(".")[0] != head}
    for name, tensor in own.items():
        source = given.get(name)
        if source is None or source.shape != tensor.shape:
            theirs = "missing" if source is None else tuple(source.shape)
            raise EvaluationError(
                f"a ticket is carried to a network that differs in its head {head!r} alone, but {name!r} is "
                f"{tuple(tensor.shape)} there and {theirs} in the ticket; "
                "build the network of the same architecture, for inputs of the same channels"
            )
        tensor.copy_(source)
    return {name: mask for name, mask in masks.items() if name != head}


__all__ = ["carry"]
