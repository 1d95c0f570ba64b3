"""Put the channels inside blocks in the order of their importance, so that narrower blocks keep the best ones.

Once-for-All (Cai et al., 2020, section 3.3, "elastic width"): the importance of a channel is the L1 norm of the weights
that read it. The largest network computes what it did, within rounding. Sorted are axes inside one operator whose size
is a decision, such as the hidden channels of an inverted residual; channels between operators keep their places.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from archwright.nets.entangle import parameter_shapes
from archwright.nets.hull import Site
from archwright.nets.supernet import STATISTICS, Supernet
from archwright.nets.transform import elastic_fields
from archwright.operators.base import Leaf
from archwright.operators.walk import ChoiceNode

TOLERANCE = 1e-6  # of the largest output; orders that change more are not taken


@torch.no_grad()
def sort_channels(supernet: Supernet, trained: Mapping[int, set[int]] | None = None) -> int:
    """Sort every elastic axis inside an operator; the number of axes that were sorted.

    Args:
        supernet: changed in place; an optimizer's state of its weights is void afterwards.
        trained: decision -> codes that were trained before. Their channels stay together: it is sorted only
            between the sizes that they give. None: the largest alone was trained.
    """
    count = 0
    for site in supernet.sites.values():
        for leaf in site.variants.values():
            module = supernet.large[supernet.name_of(site, leaf)]
            for axis in _axes(site, leaf, module):
                order = _order(_importance(leaf, module, axis), _sizes(site, leaf, axis, trained or {}))
                count += _permuted(leaf, module, axis, order, site)
    return count


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from ((n, b) for n, b in module.named_buffers() if n.rpartition(".")[2] in STATISTICS and b.dim())


def _axes(site: Site, leaf: Leaf, module: nn.Module) -> list[str]:
    """Internal axes of a leaf whose size depends on a decision of its own and that the output's weights read."""
    names = [a for name, t in _tensors(module) for a in leaf.axes_of(name, t.dim()) if a]
    inner = {a for a in names if a not in ("out", "kernel") and not a.startswith("in")}
    tied = {part for a in names if "*" in a for part in (a, *a.split("*"))}
    reads = {leaf.axes_of(name, t.dim())[1] for name, t in module.named_parameters() if _reads(leaf, name, t)}
    return [a for a in sorted(inner - tied) if a in reads and len(_sizes(site, leaf, a, None)) > 1]


def _reads(leaf: Leaf, name: str, tensor: Tensor) -> bool:
    return tensor.dim() > 1 and leaf.axes_of(name, tensor.dim())[0] == "out"


def _importance(leaf: Leaf, module: nn.Module, axis: str) -> Tensor:
    """(size,) L1 norm of what reads each channel."""
    parts = [
        t.abs().transpose(0, 1).flatten(1).sum(1)
        for name, t in module.named_parameters()
        if _reads(leaf, name, t) and leaf.axes_of(name, t.dim())[1] == axis
    ]
    return torch.stack(parts).sum(0)


def _sizes(site: Site, leaf: Leaf, axis: str, trained: Mapping[int, set[int]] | None) -> list[int]:
    """Sizes of an axis, increasing, on the largest inputs; of the trained codes alone, or of all if None."""
    fields = elastic_fields(site)
    kept = []
    for name, options in fields.items():
        node: ChoiceNode = getattr(site.node, name)
        codes = range(len(options)) if trained is None else trained.get(node.decision, set())
        kept.append([options[k] for k in codes] or [getattr(leaf, name)])
    found = set()
    for values in product(*kept):
        one = replace(leaf, **dict(zip(fields, values, strict=True)))
        for name, shape in parameter_shapes(one, site.shapes).items():
            found |= {n for n, a in zip(shape, leaf.axes_of(name, len(shape)), strict=True) if a == axis}
    return sorted(found)


def _order(importance: Tensor, sizes: list[int]) -> Tensor:
    """Positions by falling importance between one size and the next."""
    edges = [0, *(s for s in sizes if s < len(importance)), len(importance)]
    parts = [importance[a:b].argsort(descending=True, stable=True) + a for a, b in pairwise(edges)]
    return torch.cat(parts)


def _permuted(leaf: Leaf, module: nn.Module, axis: str, order: Tensor, site: Site) -> bool:
    """Reorder an axis in all tensors, unless that changes what the module computes."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in site.shapes]
    twin = copy.deepcopy(module).to("cpu", torch.float64).eval()
    before = twin(*inputs)
    _reorder(leaf, twin, axis, order)
    if float((twin(*inputs) - before).abs().max()) > TOLERANCE * float(before.abs().max().clamp_min(1e-30)):
        return False
    _reorder(leaf, module, axis, order)
    return True


def _reorder(leaf: Leaf, module: nn.Module, axis: str, order: Tensor) -> None:
    for name, tensor in _tensors(module):
        for dim, own in enumerate(leaf.axes_of(name, tensor.dim())):
            if own == axis:
                tensor.copy_(tensor.index_select(dim, order.to(tensor.device)))


__all__ = ["sort_channels"]
