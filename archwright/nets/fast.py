"""Tensor functions of mixtures that compute the same as torch's plain operations with fewer passes over memory.

Measured on a CPU (benchmarks/search_step.py): a weighted sum that keeps its terms only where the weights want a
gradient, and the input gradient of a depthwise convolution as a forward convolution with the flipped kernel. The
compiled kernels of `kernels.py` take over where they are there and the tensors fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from archwright.nets import kernels


class _WeightedSum(torch.autograd.Function):
    """sum_i w_i x_i; a weight of None is one. Terms are kept for the backward pass only if their weight needs it."""

    @staticmethod
    def forward(ctx: Any, count: int, *values: Tensor | None) -> Tensor:
        terms: Any = values[:count]  # tensors; only weights may be missing
        weights = values[count:]
        out: Any = _one_pass(terms, weights)
        order = sorted(range(count), key=lambda i: weights[i] is not None)  # the plain ones first
        for i in order if out is None else ():
            term, weight = terms[i], weights[i]
            if out is None:
                out, fresh = (term, False) if weight is None else (term * weight, True)
            elif weight is None or weight.device.type == "cpu":
                alpha = 1.0 if weight is None else float(weight)
                out, fresh = out.add_(term, alpha=alpha) if fresh else torch.add(out, term, alpha=alpha), True
            else:
                out, fresh = torch.addcmul(out, term, weight.expand_as(term)), True
        learned = ctx.needs_input_grad[1 + count :]
        ctx.count = count
        ctx.save_for_backward(*weights, *(t if n else None for t, n in zip(terms, learned, strict=True)))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        count = ctx.count
        weights, terms = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        to_terms: list[Tensor | None] = []
        to_weights: list[Tensor | None] = []
        for i in range(count):
            want = ctx.needs_input_grad[1 + i]
            to_terms.append((grad if weights[i] is None else grad * weights[i]) if want else None)
            to_weights.append(dot(grad, terms[i]) if ctx.needs_input_grad[1 + count + i] else None)
        return None, *to_terms, *to_weights


def _one_pass(terms: Sequence[Tensor], weights: Sequence[Tensor | None]) -> Tensor | None:
    """The sum by the compiled kernel, or None where it does not fit."""
    first = terms[0]
    if len(terms) < 3 or not kernels.fits(first):
        return None
    if any(t.dtype != first.dtype or t.stride() != first.stride() for t in terms):
        return None
    return kernels.weighted_sum(terms, [1.0 if w is None else float(w) for w in weights])


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products of two tensors of one shape, without a temporary where their memory layouts agree."""
    if a.stride() == b.stride() and _dense(a):
        return torch.dot(_flat(a), _flat(b))
    return (a * b).sum()


def _dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


def _flat(x: Tensor) -> Tensor:
    return x.as_strided((x.numel(),), (1,), x.storage_offset())


def weighted_sum(terms: Sequence[Tensor], weights: Sequence[Tensor | None]) -> Tensor:
    """sum_i w_i x_i.

    Args:
        terms: tensors of one shape.
        weights: a scalar tensor for each term; None stands for one.
    """
    if len(terms) == 1:
        return terms[0] if weights[0] is None else terms[0] * weights[0]
    if torch.compiler.is_compiling() or len({(t.dtype, t.shape) for t in terms}) > 1:
        # a compiler fuses the passes by itself; dtypes differ under autocast, shapes where terms broadcast
        parts = [t if w is None else t * w for t, w in zip(terms, weights, strict=True)]
        return sum(parts[1:], parts[0])
    return _WeightedSum.apply(len(terms), *terms, *weights)


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution; at stride 1 its input gradient is a forward convolution with the flipped kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.setting = stride, padding, dilation, tuple(x.shape)
        return F.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        stride, padding, dilation, shape = ctx.setting
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _depthwise_input(grad, weight, shape, stride, padding, dilation)
        if ctx.needs_input_grad[1]:
            to_weight = _depthwise_weight(x, grad, weight, stride, padding, dilation)
        return to_x, to_weight, None, None, None


def _depthwise_input(
    grad: Tensor, weight: Tensor, shape: tuple[int, ...], stride: int, padding: int, dilation: int
) -> Tensor:
    if stride == 1:
        around = dilation * (weight.shape[-1] - 1) - padding
        return F.conv2d(grad, weight.flip(2, 3), None, 1, around, dilation, weight.shape[0])
    if dilation > 1 and kernels.fits(grad):
        return kernels.input_gradient(grad, weight, (shape[2], shape[3]), stride, padding, dilation)
    return conv2d_input(shape, weight, grad, stride, padding, dilation, weight.shape[0])


def _depthwise_weight(x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    if weight.shape[-1] in (3, 5, 7) and kernels.fits(x) and kernels.fits(grad):
        return kernels.weight_gradient(x, grad, weight.shape[-1], stride, padding, dilation)
    pairs = [[v, v] for v in (stride, padding, dilation)]
    masks = [False, True, False]
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *pairs, False, [0, 0], weight.shape[0], masks)[1]


def depthwise(x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    """Depthwise convolution without bias.

    Args:
        x: (b, c, h, w).
        weight: (c, 1, k, k), k odd.
        stride: of both axes.
        padding: on every side, at most dilation * (k - 1).
        dilation: of the kernel.
    """
    if torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
        return F.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])
    return _Depthwise.apply(x, weight, stride, padding, dilation)


class _Norm(torch.autograd.Function):
    """Batch norm in training mode, optionally with ReLU, by the compiled kernels; also gives mean and inverse."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, mean, inverse = kernels.norm_forward(x, scale, shift, eps, relu)
        ctx.save_for_backward(x, scale, shift, mean, inverse)
        ctx.relu = relu
        ctx.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, scale, shift, mean, inverse = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        to_x, to_scale, to_shift = kernels.norm_backward(
            x, grad, scale, shift, (mean, inverse), ctx.relu, ctx.needs_input_grad[0]
        )
        wanted = ctx.needs_input_grad
        return to_x, to_scale if wanted[1] else None, to_shift if wanted[2] else None, None, None


class _Chain(torch.autograd.Function):
    """Depthwise convolution, 1x1 convolution, batch norm in training mode and ReLU by one compiled kernel.

    The value between the convolutions is not kept: the backward pass computes it again where the 1x1 weights want it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        depth: Tensor,
        point: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        eps: float,
        shape: kernels.ChainShape,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, u, mean, inverse = kernels.chain_forward(x, depth, point, scale, shift, eps, shape)
        ctx.save_for_backward(x, u, depth, point, scale, shift, mean, inverse)
        ctx.shape = shape
        ctx.mark_non_differentiable(mean, inverse)
        return y, mean, inverse

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, u, depth, point, scale, shift, mean, inverse = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        wanted = ctx.needs_input_grad
        weights = depth, point, scale, shift
        found = kernels.chain_backward(x, grad, u, weights, (mean, inverse), ctx.shape, wanted[:3])
        to_scale, to_shift = found[3] if wanted[3] else None, found[4] if wanted[4] else None
        return *found[:3], to_scale, to_shift, None, None


def chain(x: Tensor, first: Any, second: Any, norm: Any, scale: Tensor | None, *, relu: bool = False) -> Tensor:
    """Depthwise convolution `first`, 1x1 convolution `second`, batch norm, scale and ReLU.

    Args:
        x: (b, c, h, w).
        first: module of a depthwise convolution without bias.
        second: module of a 1x1 convolution without bias.
        norm: batch norm.
        scale: scalar that multiplies the output, None for one.
        relu: whether ReLU follows.
    """
    stride, padding, dilation = first.stride[0], int(first.padding[0]), first.dilation[0]
    size = first.kernel_size[0]
    alone = norm.training and not hasattr(norm, "over_ranks")
    fit = alone and size in (3, 5, 7) and x.shape[1] <= CHAIN_CHANNELS and kernels.fits(x)
    if not fit or torch.is_autocast_enabled(x.device.type) or second.weight.dtype != torch.float32:
        return normalised(second(depthwise(x, first.weight, stride, padding, dilation)), [norm], scale, relu=relu)
    weight, bias = _scaled(norm, scale, second.weight.shape[0])
    shape = kernels.ChainShape(size, stride, padding, dilation, relu)
    out, mean, inverse = _Chain.apply(x, first.weight, second.weight, weight, bias, norm.eps, shape)
    if norm.track_running_stats:
        note_statistics([norm], out.numel() // out.shape[1], mean, inverse)
    return out


CHAIN_CHANNELS = 128  # beyond, torch's matrix products win


def _scaled(norm: Any, scale: Tensor | None, channels: int) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of a norm whose output is multiplied by a scalar."""
    weight, bias = norm.weight, norm.bias
    if scale is not None:
        # a copy: channels-last kernels of torch read the scale as if it were dense
        weight = scale.repeat(channels) if weight is None else weight * scale
        bias = None if bias is None else bias * scale
    return weight, bias


def normalised(x: Tensor, norms: Sequence[Any], scale: Tensor | None, *, relu: bool = False) -> Tensor:
    """Batch norm of the first of several norms with equal settings, and ReLU; all of them note the statistics.

    Args:
        x: (b, c, ...).
        norms: batch norms; more than one only if they have no parameters.
        scale: scalar that multiplies the output, None for one.
        relu: whether ReLU follows.
    """
    norm = norms[0]
    weight, bias = _scaled(norm, scale, x.shape[1])
    if not norm.training:
        alone = norm.running_mean is None
        out = F.batch_norm(x, norm.running_mean, norm.running_var, weight, bias, alone, 0.0, norm.eps)
        return out.relu_() if relu else out
    count = x.numel() // x.shape[1]
    if hasattr(norm, "over_ranks"):  # a joint norm of several processes
        out, mean, inverse, count = norm.over_ranks(x, weight, bias)
        out = out.relu() if relu else out
    elif kernels.fits(x) and (weight is None or weight.dtype == torch.float32):
        out, mean, inverse = _Norm.apply(x, weight, bias, norm.eps, relu)
    else:
        out, mean, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, norm.eps)
        out = out.relu_() if relu else out
    if norm.track_running_stats:
        note_statistics(norms, count, mean, inverse)
    return out


@torch.no_grad()
def note_statistics(norms: Sequence[Any], count: int, mean: Tensor, inverse: Tensor) -> None:
    """Take the statistics of a batch with `count` values a channel into the running ones of norms."""
    variance = (inverse.square().reciprocal_() - norms[0].eps).mul_(count / max(count - 1, 1))
    for norm in norms:
        norm.num_batches_tracked.add_(1)
        share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean.to(norm.running_mean), share)
        norm.running_var.lerp_(variance.to(norm.running_var), share)
