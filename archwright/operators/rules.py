"""Arithmetic that operators share: window sizes, activation names, checks and tallies; no torch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archwright.errors import SpaceError, nearest
from archwright.operators.base import Counts, Layer, Operator, Shape

if TYPE_CHECKING:
    from torch import nn

# field value -> class of torch.nn
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "identity": "Identity",
        "relu": "ReLU",
        "relu6": "ReLU6",
        "hswish": "Hardswish",
        "hsigmoid": "Hardsigmoid",
        "silu": "SiLU",
        "gelu": "GELU",
        "sigmoid": "Sigmoid",
        "tanh": "Tanh",
    }
)


def activation_class(operator: Operator, name: str) -> str:
    """Name of the class in `torch.nn` for an activation.

    Raises:
        SpaceError: if the activation is unknown.
    """
    member(operator, "activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def member(operator: Operator, field: str, value: object, known: Mapping[str, object] | tuple[str, ...]) -> None:
    """Check that a field holds one of the known words.

    Raises:
        SpaceError: if it does not; the nearest word is given.
    """
    if value not in known:
        raise SpaceError(f"{field} of {type(operator).__name__} is {value!r}; {nearest(str(value), known)}")


def probability(operator: Operator, field: str) -> None:
    """Check that a field holds a probability of dropping, in [0, 1).

    Raises:
        SpaceError: if it does not.
    """
    value = getattr(operator, field)
    if not 0.0 <= value < 1.0:
        raise SpaceError(f"{field} of {type(operator).__name__} must lie in [0, 1), got {value!r}")


def positive(operator: Operator, *fields: str) -> None:
    """Check that fields hold positive integers.

    Raises:
        SpaceError: if one does not.
    """
    for field in fields:
        value = getattr(operator, field)
        if not isinstance(value, int) or value < 1:
            raise SpaceError(f"{field} of {type(operator).__name__} must be a positive integer, got {value!r}")


def odd(operator: Operator, kernel: int) -> None:
    """Check that a kernel is a positive odd integer, so that padding keeps the size.

    Raises:
        SpaceError: if it is not.
    """
    positive(operator, "kernel")
    if kernel % 2 == 0:
        raise SpaceError(
            f"kernel of {type(operator).__name__} must be odd, got {kernel}; use {kernel - 1} or {kernel + 1}"
        )


def one(operator: Operator, inputs: tuple[Shape, ...]) -> Shape:
    """The only input shape, with at least one axis.

    Raises:
        SpaceError: if there is not exactly one.
    """
    if len(inputs) != 1 or not inputs[0]:
        raise SpaceError(f"{type(operator).__name__} takes one input of one axis or more, got {inputs}")
    return inputs[0]


def ranked(operator: Operator, inputs: tuple[Shape, ...], *ranks: int) -> Shape:
    """The only input shape, whose rank must be one of `ranks`.

    Raises:
        SpaceError: if it is another.
    """
    shape = one(operator, inputs)
    if len(shape) not in ranks:
        kinds = {1: "(F,)", 2: "(C, L) or (L, D)", 3: "(C, H, W)", 4: "(C, T, H, W)"}
        expected = " or ".join(kinds[rank] for rank in ranks)
        raise SpaceError(f"{type(operator).__name__} expects an input of shape {expected}, got {shape}")
    return shape


def image(operator: Operator, inputs: tuple[Shape, ...]) -> tuple[int, Shape]:
    """Channels and spatial sizes of the only input: a series, image or volume.

    Raises:
        SpaceError: if the input is something else.
    """
    shape = ranked(operator, inputs, 2, 3, 4)
    return shape[0], shape[1:]


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Padding on each side that keeps the size at stride 1 (odd kernels)."""
    return dilation * (kernel - 1) // 2


def windows(
    operator: Operator, sizes: Shape, kernel: int, stride: int = 1, *, padding: int | None = None, dilation: int = 1
) -> Shape:
    """Number of window positions along each spatial axis; `padding` None means `same_padding`.

    Raises:
        SpaceError: if the window is larger than the padded input.
    """
    pad = same_padding(kernel, dilation) if padding is None else padding
    found = tuple((size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size in sizes)
    if min(found) < 1:
        raise SpaceError(
            f"{type(operator).__name__} with kernel {kernel} and dilation {dilation} does not fit into size {sizes}; "
            "use a smaller kernel or fewer reductions before it"
        )
    return found


def convolved(operator: Operator, inputs: tuple[Shape, ...], *counts: str, dilation: int = 1) -> Shape:
    """Output shape (channels, positions...) of a convolution that keeps the size at stride 1.

    Reads the fields `channels`, `kernel` and `stride` of the operator; `counts` names further fields that must hold
    positive integers.

    Raises:
        SpaceError: if a field or the input does not fit.
    """
    _, sizes = image(operator, inputs)
    positive(operator, "channels", "stride", *counts)
    channels, kernel, stride = (getattr(operator, field) for field in ("channels", "kernel", "stride"))
    odd(operator, kernel)
    return (channels, *windows(operator, sizes, kernel, stride, dilation=dilation))


def norm_axes(norm: str, axis: str | None) -> dict[str, tuple[str | None]]:
    """Axes of the tensors of a batch norm by the name of its module: all follow one axis."""
    return {f"{norm}.{name}": (axis,) for name in ("weight", "bias", "running_mean", "running_var")}


def scaled(channels: int, ratio: float) -> int:
    """A share or multiple of a channel count: rounded, at least 1."""
    return max(1, round(channels * ratio))


def tally(output: Shape, *, params: int = 0, macs: int = 0, buffers: int = 0) -> Counts:
    """Counts of one operator from its output shape, parameters, multiply-accumulates and float buffer elements."""
    return Counts(params, macs, 4 * math.prod(output), 4 * (params + buffers))


@cache
def _defaults(cls: Callable[..., Any]) -> Mapping[str, Any]:
    return {name: p.default for name, p in inspect.signature(cls).parameters.items()}


def lean(cls: type[nn.Module], **arguments: Any) -> Layer:
    """A layer without the arguments that are the class's defaults, so that printed source stays short."""
    defaults = _defaults(cls)  # type: ignore[arg-type]
    return Layer(cls, {name: value for name, value in arguments.items() if value != defaults[name]})
