"""One formula for NumPy arrays and torch tensors.

Cost formulas are written once with operators and these few functions. NumPy arguments give exact float64 results;
torch arguments give the same values with gradients, where `ceil` and `floor` pass the gradient straight through
(Bengio et al., 2013), so that hardware parameters can be searched by gradient too.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray (float64), torch.Tensor or a Python number; formulas keep the kind they are given


def is_tensor(*values: Array) -> bool:
    """Whether any value is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and any(isinstance(v, torch.Tensor) for v in values)


def _torch() -> Any:
    import torch

    return torch


def as_float(value: Array) -> Array:
    """Float64 array of a number or array; tensors are passed through as they are."""
    return value if is_tensor(value) else np.asarray(value, dtype=np.float64)


def ceil(value: Array) -> Array:
    """Smallest integer not below `value`; the gradient of a tensor passes straight through."""
    if is_tensor(value):
        return value + (value.ceil() - value).detach()
    return np.ceil(value)


def floor(value: Array) -> Array:
    """Largest integer not above `value`; the gradient of a tensor passes straight through."""
    if is_tensor(value):
        return value + (value.floor() - value).detach()
    return np.floor(value)


def ceil_div(value: Array, divisor: Array) -> Array:
    """Number of pieces of size `divisor` that cover `value`; exact for integers below 2^53."""
    return ceil(value / divisor)


def maximum(first: Array, *others: Array) -> Array:
    """Elementwise largest value."""
    for other in others:
        if is_tensor(first, other):
            torch = _torch()
            first = torch.maximum(torch.as_tensor(first), torch.as_tensor(other))
        else:
            first = np.maximum(first, other)
    return first


def minimum(first: Array, *others: Array) -> Array:
    """Elementwise smallest value."""
    for other in others:
        if is_tensor(first, other):
            torch = _torch()
            first = torch.minimum(torch.as_tensor(first), torch.as_tensor(other))
        else:
            first = np.minimum(first, other)
    return first


def where(condition: Array, yes: Array, no: Array) -> Array:
    """Elementwise choice; `condition` is a Python bool, an array or a tensor."""
    if isinstance(condition, bool):
        return yes if condition else no
    if is_tensor(condition, yes, no):
        torch = _torch()
        return torch.where(torch.as_tensor(condition), torch.as_tensor(yes), torch.as_tensor(no))
    return np.where(condition, yes, no)
