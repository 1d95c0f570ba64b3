"""Data parallel search over the ranks of torch.distributed: equal gradients, equal parameters, equal draws.

Every rank draws the same random numbers for the architecture (the generator of a step depends on the seed and the step
alone), sees its own part of the batch, and averages gradients; so architecture parameters cannot drift apart. Batch
norms take their statistics over all ranks (`nets/joint.py`), so that the ranks do what one process does on all rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from archwright.errors import EvaluationError
from archwright.tasks.split import Inputs


def active() -> bool:
    """Whether there are several ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank_and_size() -> tuple[int, int]:
    """This rank and the number of ranks."""
    return (dist.get_rank(), dist.get_world_size()) if active() else (0, 1)


@torch.no_grad()
def average(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over the ranks, all in one message; a parameter that one rank did not use counts as zero."""
    if not active():
        return
    listed = list(parameters)
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in listed])
    used = torch.tensor([p.grad is not None for p in listed], dtype=torch.float32, device=flat.device)
    dist.all_reduce(flat)
    dist.all_reduce(used)
    flat /= dist.get_world_size()
    offset = 0
    for p, n in zip(listed, used.tolist(), strict=True):
        part = flat[offset : offset + p.numel()].view(p.shape)
        offset += p.numel()
        p.grad = part.clone() if n else None


@torch.no_grad()
def averaged(tensors: list[Tensor]) -> list[Tensor]:
    """Means over the ranks, of tensors that every rank has, all in one message."""
    if not active():
        return tensors
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    parts = flat.div_(dist.get_world_size()).split([t.numel() for t in tensors])
    return [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]


@torch.no_grad()
def synchronise(module: nn.Module) -> None:
    """Give every rank the parameters and buffers of rank 0."""
    if active():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def part_of(batch: tuple[Inputs, Tensor]) -> tuple[Inputs, Tensor]:
    """This rank's rows of a batch; all ranks get equally many.

    Raises:
        EvaluationError: if there are fewer examples than ranks.
    """
    rank, size = rank_and_size()
    if size == 1:
        return batch
    inputs, targets = batch
    count = len(targets) // size
    if count == 0:
        raise EvaluationError(f"a batch of {len(targets)} examples cannot be shared by {size} ranks; raise the batch")
    rows = slice(rank * count, (rank + 1) * count)
    cut = tuple(x[rows] for x in inputs) if isinstance(inputs, tuple) else inputs[rows]
    return cut, targets[rows]


@torch.no_grad()
def check_equal(parameters: Iterable[Tensor], what: str) -> None:
    """See that all ranks have the same values.

    Raises:
        EvaluationError: if they do not.
    """
    if not active():
        return
    flat = torch.cat([p.detach().reshape(-1).double() for p in parameters])
    high, low = flat.clone(), flat.clone()
    dist.all_reduce(high, dist.ReduceOp.MAX)
    dist.all_reduce(low, dist.ReduceOp.MIN)
    if not torch.equal(high, low):
        gap = float((high - low).abs().max())
        raise EvaluationError(f"the {what} differ between ranks by up to {gap:.3g}; the ranks have drawn differently")


@torch.no_grad()
def average_statistics(module: nn.Module) -> None:
    """Average the running statistics of batch norms over the ranks."""
    if active():
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                dist.all_reduce(buffer)
                buffer /= dist.get_world_size()
