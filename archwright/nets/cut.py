"""The slice rule, written once: which part of the largest weight a smaller operator uses.

Every dimension of a tensor has a named axis (`Leaf.axes`). Along an axis a subnet keeps a prefix, or an arbitrary
index set; along `kernel` axes it keeps the centre (Cai et al., Once-for-All, 2020, section 3.2). Dimensions with the
same axis are cut alike, so weights, biases, norms and running statistics stay tied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from archwright.errors import SpaceError
from archwright.operators.base import Leaf, Shape

Index = slice | Tensor  # along one dimension of the largest tensor
Indices = Mapping[str, Tensor]  # axis name -> index set, sorted or not, int64


@dataclass(frozen=True)
class Cut:
    """How one tensor of a small leaf is taken from the large leaf's tensor of the same name; () = all of it."""

    name: str
    index: tuple[Index, ...] = ()

    def __call__(self, large: Tensor) -> Tensor:
        """View (prefix) or copy (index set) of the large tensor, dense in memory, gradients flowing back."""
        if not self.index:
            return large
        small = large[tuple(i if isinstance(i, slice) else slice(None) for i in self.index)]
        for dim, index in enumerate(self.index):
            if not isinstance(index, slice):
                small = small.index_select(dim, index.to(small.device))
        return small

    def mark(self, mask: Tensor) -> None:
        """Set the cut's elements of a mask of the large tensor's shape to True."""
        if not self.index:
            mask.fill_(True)
            return
        grids = [
            torch.arange(size)[i] if isinstance(i, slice) else i.cpu()
            for size, i in zip(mask.shape, self.index, strict=True)
        ]
        mask[torch.meshgrid(*grids, indexing="ij")] = True


def dense(small: Tensor, large: Tensor) -> Tensor:
    """The cut tensor laid out as the large one is, so that the subnet computes exactly what its extraction computes."""
    if small is large or small.dim() == 0:
        return small
    if small.dim() == 4 and large.is_contiguous(memory_format=torch.channels_last) and not large.is_contiguous():
        return small.contiguous(memory_format=torch.channels_last)
    return small.contiguous()


@dataclass(frozen=True)
class AxisSizes:
    """Sizes of internal axes that are factors of product axes, in the large and in the small leaf."""

    large: Mapping[str, int]
    small: Mapping[str, int]


def cut_of(
    leaf: Leaf, name: str, large: Sequence[int], small: Sequence[int], sizes: AxisSizes, indices: Indices
) -> Cut:
    """How the small leaf's tensor `name` is cut from the large one.

    Args:
        leaf: the small leaf.
        name: the tensor's name in the module's state.
        large: shape of the large tensor.
        small: shape of the small tensor.
        sizes: of the factors of product axes.
        indices: index set of each axis that is not a prefix.

    Raises:
        SpaceError: if the small tensor is not a part of the large one.
    """
    axes = leaf.axes_of(name, len(small))
    if len(large) != len(small) or any(s > b for s, b in zip(small, large, strict=True)):
        raise SpaceError(
            f"{leaf!r} needs {name!r} of shape {tuple(small)}, which is no part of the largest, {tuple(large)}"
        )
    index = tuple(_along(axis, b, s, sizes, indices) for axis, b, s in zip(axes, large, small, strict=True))
    whole = all(isinstance(i, slice) and i == slice(0, b) for i, b in zip(index, large, strict=True))
    return Cut(name) if whole else Cut(name, index)


def _along(axis: str | None, large: int, small: int, sizes: AxisSizes, indices: Indices) -> Index:
    if axis is None:
        return slice(0, small)
    if "*" in axis:
        return _product(axis.split("*"), large, small, sizes, indices)
    if axis in indices:
        chosen = indices[axis]
        if chosen.numel() != small or (small and int(chosen.max()) >= large):
            raise SpaceError(
                f"the index set of axis {axis!r} must hold {small} positions below {large}, got {chosen.tolist()}"
            )
        return chosen
    if axis == "kernel":
        start = (large - small) // 2
        return slice(start, start + small)
    return slice(0, small)


def _product(axes: list[str], large: int, small: int, sizes: AxisSizes, indices: Indices) -> Index:
    """Index of a dimension that is laid out as a grid of axes, the first one major."""
    chosen = torch.zeros(1, dtype=torch.int64)
    total = 1
    for axis in axes:
        if axis not in sizes.large or axis not in sizes.small:
            raise SpaceError(f"axis_sizes() does not say how large axis {axis!r} is")
        b, s = sizes.large[axis], sizes.small[axis]
        part = _along(axis, b, s, sizes, indices)
        positions = torch.arange(b)[part] if isinstance(part, slice) else part
        chosen = (chosen[:, None] * b + positions[None, :]).reshape(-1)
        total *= b
    if total != large or chosen.numel() != small:
        raise SpaceError(
            f"axes {'*'.join(axes)} give {chosen.numel()} of {total} positions; the tensors have {small} of {large}"
        )
    return slice(0, small) if torch.equal(chosen, torch.arange(small)) else chosen


def joined(leaf: Leaf, incoming: Sequence[Tensor | None], large: Sequence[Shape]) -> Tensor | None:
    """Index set of the output channels of a leaf that makes none of its own.

    Args:
        leaf: the leaf; one with `joins = "concat"` places its inputs behind each other.
        incoming: index set of the channels of each input in the large input, None = prefix.
        large: shapes of the large inputs; channels are axis 0 for images and series, the last axis for tokens.

    Raises:
        SpaceError: if inputs that meet carry different index sets.
    """
    if all(i is None for i in incoming):
        return None
    if getattr(leaf, "joins", "") == "concat":
        parts, offset = [], 0
        for index, shape in zip(incoming, large, strict=True):
            parts.append((torch.arange(shape[0]) if index is None else index) + offset)
            offset += shape[0]
        return torch.cat(parts)
    first = incoming[0]
    for other in incoming[1:]:
        if first is None or other is None or not torch.equal(first, other):
            raise SpaceError(f"{leaf!r} joins values whose channels were chosen by different index sets")
    return first
