"""Measuring a supernet: with the statistics of each batch, and leaving its running statistics alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.nets.supernet import Supernet
from archwright.tasks.base import Task
from archwright.tasks.split import Batch, Inputs


@contextmanager
def batch_statistics(supernet: Supernet) -> Iterator[None]:
    """Batch norms use the batch and note nothing; dropouts are off. Afterwards all is as before."""
    was_training = supernet.training
    supernet.train()
    norms, dropouts = [], []
    for module in every_module(supernet):
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            norms.append(module)
            module.track_running_stats = False
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            dropouts.append((module, module.training))
            module.training = False
    try:
        yield
    finally:
        for module in norms:
            module.track_running_stats = True
        for module, mode in dropouts:
            module.training = mode
        supernet.train(was_training)


def every_module(supernet: Supernet) -> Iterator[nn.Module]:
    """The supernet's modules and those that share its tensors."""
    yield from supernet.modules()
    for layer in supernet._layers.values():
        yield from layer.modules()
    for mixture in supernet._mixtures.values():
        for module in mixture.modules():
            yield from module.modules()


def measure(task: Task, net: Callable[[Inputs], Tensor], batches: Iterator[Batch]) -> dict[str, float]:
    """Loss and metrics of a network on batches, without gradients."""
    losses, counts = [], []

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in batches:
            outputs = net(inputs)
            losses.append(task.loss(outputs, targets) * len(targets))
            counts.append(len(targets))
            yield outputs, targets

    with torch.no_grad():
        found = task.measure_batches(pairs())
    return {**found, "loss": float(torch.stack(losses).sum()) / sum(counts)}
