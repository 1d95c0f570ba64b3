"""What an operator is: a frozen dataclass that describes a piece of a network.

A **leaf** makes one `nn.Module` from its fields and its input shapes. A **composite** says in `flow` how its parts are
joined. `flow` is written once and read five ways: to build a network, to run a supernet, to mix candidates, to
propagate shapes over a whole batch of architectures, and to print source code. It must therefore touch its inputs only
through `run`.

Any field of any operator may hold a choice; such an operator is part of a space and has no module until the choice is
resolved.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from archwright.errors import SpaceError

if TYPE_CHECKING:
    from torch import nn

    from archwright.formats import Format

Shape = tuple[int, ...]  # without the batch axis: (C, H, W) image, (C, L) series, (L, D) tokens, (F,) features


@dataclass(frozen=True)
class Counts:
    """Cost of one sample through one operator, from shapes alone (float32 activations and weights)."""

    params: int
    macs: int
    activation_bytes: int  # output elements that the operator stores, 4 bytes each
    weight_bytes: int  # parameters and buffers, 4 bytes each


class Layer(NamedTuple):
    """A module class whose source imports only torch, and literal arguments for it."""

    cls: type[nn.Module]
    arguments: Mapping[str, Any]


AnyOperator = TypeVar("AnyOperator", bound="Operator")
Run = Callable[..., Any]  # run(part, *values) -> value


@dataclass(frozen=True)
class Operator(ABC):
    """Description of a piece of a network; subclasses are frozen dataclasses.

    `elastic` names the integer fields whose ordered choices share one largest weight. `site` is where the operator
    stands in its space (set by the space when it resolves choices, not a field): weights are shared by site.
    """

    elastic: ClassVar[frozenset[str]] = frozenset()
    site: ClassVar[str] = ""

    @abstractmethod
    def output(self, *inputs: Shape) -> Shape:
        """Shape of the output for input shapes without the batch axis.

        Raises:
            SpaceError: if the inputs do not fit.
        """

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Small operators of this class with input shapes; the contract of operators is checked on them."""
        return ()


Example = tuple[Operator, tuple[Shape, ...]]


@dataclass(frozen=True)
class Leaf(Operator):
    """An operator that is one `nn.Module`.

    `mixes` names a field of integers, or of a tuple of integers, whose choices need no weights of their own: a mixture
    tells the module the shares of the values as `mixed`, (values, shares), for a tuple one pair an entry.
    """

    mixes: ClassVar[str] = ""

    @abstractmethod
    def layer(self, *inputs: Shape) -> Layer:
        """Class and arguments of the module for these input shapes.

        Raises:
            SpaceError: if the inputs do not fit.
        """

    def module(self, *inputs: Shape) -> nn.Module:
        """A plain module with freshly initialised weights."""
        cls, arguments = self.layer(*inputs)
        return cls(**arguments)

    def output(self, *inputs: Shape) -> Shape:
        """Output shape; by default traced on the meta device."""
        return trace(self, inputs).output

    def counts(self, *inputs: Shape) -> Counts:
        """Parameters, multiply-accumulates and bytes; by default traced on the meta device."""
        return trace(self, inputs).counts

    def formats(self) -> Mapping[str, Format]:
        """Tensor name -> number format in which the module uses it; the others are floating-point."""
        return {}

    def operand_bits(self) -> tuple[int, int] | None:
        """Bits of weights and inputs in products; None = not said."""
        return None

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Tensor name -> the named axis of each of its dimensions, for weight slicing.

        Dimensions with the same axis name are cut by the same index set. `in` (or `in0`, `in1`) is the channel axis of
        an input, `out` the channel axis of the output, other names are internal (`hidden`, `kernel`, `head`).
        A dimension named None is never cut; an axis named `kernel` is cropped around its centre. A tensor that
        is not listed follows the default: dimension 0 `out`, dimension 1 `in`, all others `kernel`; so do
        dimensions beyond the listed ones (`axes_of`). A leaf none of whose tensors has `out` passes its input
        channels on.
        An axis written `a*b` is the product of two axes, `a` major.
        """
        return {}

    def axis_sizes(self, *inputs: Shape) -> Mapping[str, int]:
        """Size of each internal axis that is a factor of a product axis; others are read off the tensors."""
        return {}

    def axes_of(self, tensor: str, dimensions: int) -> tuple[str | None, ...]:
        """Axis name of every dimension of one tensor, the default filled in.

        A listed tuple is cut or filled up with `kernel`, so that one tuple serves series, images and volumes.
        """
        listed = self.axes().get(tensor, ("out", "in"))
        return (*listed, *("kernel",) * dimensions)[:dimensions]


@dataclass(frozen=True)
class Composite(Operator):
    """An operator made of others; `flow` joins them."""

    @abstractmethod
    def flow(self, run: Run, *inputs: Any) -> Any:
        """Compute the output value from input values by `run(part, *values)` alone."""

    def output(self, *inputs: Shape) -> Shape:
        """Output shape, from the parts."""
        return self.flow(lambda part, *shapes: part.output(*shapes), *inputs)

    def inner(self, name: str, operator: AnyOperator) -> AnyOperator:
        """A copy of an operator that `flow` itself makes, at a site below this one: its weights are kept there."""
        made = copy.copy(operator)
        if self.site:
            object.__setattr__(made, "site", f"{self.site}.{name}")
        return made


class Traced(NamedTuple):
    """What one run on the meta device shows."""

    output: Shape
    counts: Counts


@lru_cache(maxsize=65536)
def trace(leaf: Leaf, inputs: tuple[Shape, ...]) -> Traced:
    """Run a leaf once on the meta device: output shape and counts.

    Raises:
        SpaceError: if the module cannot run on these input shapes.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        module = leaf.module(*inputs).eval()
        values = [torch.empty(1, *shape) for shape in inputs]
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            result = module(*values)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise SpaceError(
            f"{leaf!r} does not accept inputs of shape {inputs}: {error}; check its fields and what stands before it"
        ) from error
    tensors = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
    output = tuple(result.shape[1:])
    elements = 1
    for size in output:
        elements *= size
    return Traced(
        output,
        Counts(
            params=sum(p.numel() for p in module.parameters()),
            macs=counter.get_total_flops() // 2,
            activation_bytes=4 * elements,
            weight_bytes=4 * sum(t.numel() for t in tensors),
        ),
    )


__all__ = ["Composite", "Counts", "Example", "Layer", "Leaf", "Operator", "Run", "Shape", "Traced", "trace"]
