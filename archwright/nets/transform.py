"""Learned matrices from a kernel to the next smaller one.

A centre of a large kernel is used by the large and the small network alike, and its values cannot serve both. So a
small kernel is the centre of the next larger one times a matrix of its own, shared by all channels of a layer and
learned with the weights (Once-for-All, Cai et al., 2020, section 3.3, "elastic kernel size"): 25 x 25 from 7 to 5,
9 x 9 from there to 3. The matrices start as identities, so that at first a small kernel is the centre. They vanish in
extracted networks, whose kernels are the products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from archwright.nets.cut import Cut, Index
from archwright.nets.hull import Site
from archwright.operators.base import Leaf
from archwright.operators.walk import ChoiceNode


class KernelTransform(nn.Module):
    """Matrices of one weight (..., k, k) for each smaller kernel.

    Args:
        sizes: kernels, largest first.
        axes: number of kernel axes of the weight.
    """

    def __init__(self, sizes: Sequence[int], axes: int) -> None:
        super().__init__()
        self.sizes, self.axes = tuple(sizes), axes
        self.matrices = nn.ParameterList(nn.Parameter(torch.eye(size**axes)) for size in self.sizes[1:])

    def forward(self, weight: Tensor, size: int) -> Tensor:
        """(..., k, k) -> (..., size, size), through all kernels between."""
        for matrix, have, want in zip(self.matrices, self.sizes, self.sizes[1:], strict=False):
            if have <= size:
                break
            index: tuple[Any, ...] = (..., *(middle(have, want),) * self.axes)
            centre = weight[index]
            weight = (centre.flatten(-self.axes) @ matrix.to(centre).T).view(centre.shape)
        return weight

    def used(self, size: int) -> list[nn.Parameter]:
        """The matrices that a kernel goes through."""
        return [p for p, want in zip(self.matrices, self.sizes[1:], strict=True) if want >= size]


def middle(large: int, small: int) -> slice:
    """The centre of an axis."""
    start = (large - small) // 2
    return slice(start, start + small)


@dataclass(frozen=True, eq=False)
class TransformedCut(Cut):
    """A cut whose kernel axes are transformed.

    Attributes:
        transform: of the large tensor.
        size: of the small kernel.
    """

    transform: KernelTransform = field(kw_only=True)
    size: int = field(kw_only=True)

    def __call__(self, large: Tensor) -> Tensor:
        """The channels first, then the kernel."""
        return self.transform(super().__call__(large), self.size)

    def mark(self, mask: Tensor) -> None:
        """All of the centre that the first matrix reads takes part, however small the kernel."""
        have, want = self.transform.sizes[:2]
        axes = self.transform.axes
        Cut(self.name, (*self.index[:-axes], *(middle(have, want),) * axes)).mark(mask)


def transformed(cut: Cut, transform: KernelTransform, small: int) -> Cut:
    """The cut of a smaller kernel; the largest one's is as it was."""
    if small == transform.sizes[0]:
        return cut
    whole: tuple[Index, ...] = (slice(0, transform.sizes[0]),) * transform.axes
    return TransformedCut(cut.name, (*cut.index[: -transform.axes], *whole), transform=transform, size=small)


def kernel_sizes(site: Site, leaf: Leaf) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Tensors of a leaf whose kernel is a decision: name, sizes (largest first), number of kernel axes."""
    from archwright.nets.entangle import parameter_shapes

    found: dict[str, set[int]] = {}
    axes: dict[str, int] = {}
    for elastic, options in elastic_fields(site).items():
        for option in options:
            for name, shape in parameter_shapes(replace(leaf, **{elastic: option}), site.shapes).items():
                count = sum(axis == "kernel" for axis in leaf.axes_of(name, len(shape)))
                if count and len(set(shape[-count:])) == 1:
                    found.setdefault(name, set()).add(shape[-1])
                    axes[name] = count
    for name, sizes in found.items():
        if len(sizes) > 1:
            yield name, tuple(sorted(sizes, reverse=True)), axes[name]


def elastic_fields(site: Site) -> dict[str, tuple[int, ...]]:
    """Fields of a site's operator that slice one largest weight, and their options."""
    out = {}
    for name in sorted(type(site.node).elastic):
        value = getattr(site.node, name)
        if isinstance(value, ChoiceNode) and value.decision in site.elastic:
            out[name] = value.options
    return out


__all__ = ["KernelTransform", "TransformedCut", "elastic_fields", "kernel_sizes", "transformed"]
