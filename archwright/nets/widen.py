"""Equal chains of convolutions that read one value become one wide chain: fewer, fuller calls for few channels.

In a cell every edge that leaves a state has the same candidates, so a state is read by several depthwise-1x1-norm
chains of one shape; likewise what follows them. Their channels are put side by side: one depthwise convolution, one
block-diagonal 1x1 convolution, one batch norm. The result is the same within rounding. Measured in plain PyTorch on a
CPU: 4 chains of 4 channels at 32 x 32 are 1.7 times faster, of 16 channels 0.75 times, so chains of more than 8
channels stay as they are; the compiled kernels are faster still with single chains, so where they are there nothing is
widened. Runs that leave options out take the plain flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.nets.fast import depthwise, note_statistics
from archwright.nets.flow import Flow, FunctionNode, Node, Scalars, WeighedNode
from archwright.nets.joint import is_joint
from archwright.nets.rewrite import ChainNode

WIDEST = 64  # channels side by side; block-diagonal products cost the square
MOST = 8  # output channels of a chain that is widened


def widen(flow: Flow) -> Flow:
    """A flow of wide chains for runs of all options; the same flow if there is nothing to widen."""
    nodes = list(flow.nodes)
    count = max(n.output for n in nodes) + 1
    blocks: dict[int, tuple[int, int, int]] = {}  # value -> wide value, its place there, number of places
    done: set[int] = set()
    while True:
        groups = [g for g in _groups(nodes, blocks, done) if len(g) > 1]
        if not groups:
            return Flow(flow.inputs, nodes, flow.result)
        for group in groups:
            nodes, count = _merged(nodes, group, blocks, count)
        done |= {n.output for g in groups for n in g}


def _groups(nodes: Sequence[Node], blocks: dict[int, tuple[int, int, int]], done: set[int]) -> list[list[ChainNode]]:
    """Chains of one shape on one value, or on all places of one wide value in order."""
    found: dict[Any, list[ChainNode]] = {}
    for node in nodes:
        if isinstance(node, ChainNode) and node.output not in done and _fits(node):
            wide, _, places = blocks.get(node.inputs[0], (node.inputs[0], 0, 0))
            found.setdefault((wide, places, *_shape(node)), []).append(node)
    out = []
    for (_, places, *_), group in found.items():
        if places:
            group.sort(key=lambda n: blocks[n.inputs[0]][1])
            if [blocks[n.inputs[0]][1] for n in group] != list(range(places)):
                continue
        most = WIDEST // group[0].second.out_channels
        whole = group if not places or len(group) <= most else []
        out.append(whole if places else whole[: max(1, most)])
    return out


def _fits(node: ChainNode) -> bool:
    return node.second.out_channels <= MOST and not is_joint(node.node.norm)


def _shape(node: ChainNode) -> tuple[Any, ...]:
    first, second, norm = node.first, node.second, node.node.norm
    sizes = (first.in_channels, second.out_channels, first.kernel_size, first.stride, first.padding, first.dilation)
    settings = (norm.eps, norm.momentum, norm.affine, norm.track_running_stats, node.node.relu)
    return (*sizes, *settings)


def _merged(
    nodes: list[Node], group: list[ChainNode], blocks: dict[int, tuple[int, int, int]], count: int
) -> tuple[list[Node], int]:
    """The nodes with one wide chain, and what takes it apart, in place of a group."""
    value = group[0].inputs[0]
    wide, parts, places = count, count + 1, len(group)
    source = blocks[value][0] if value in blocks else value
    made: list[Node] = [
        WideChain(group, source, wide, copies=value not in blocks),
        FunctionNode((wide,), parts, lambda x: x.chunk(places, 1)),  # type: ignore[arg-type, return-value]
    ]
    for i, node in enumerate(group):
        made.append(FunctionNode((parts,), node.output, lambda chunks, i=i: chunks[i]))  # type: ignore[misc]
        blocks[node.output] = (wide, i, len(group))
    members = {n.output for n in group}
    place = next(i for i, n in enumerate(nodes) if n.output in members)
    rest = [n for n in nodes[place:] if n.output not in members]
    return [*nodes[:place], *made, *rest], count + 2


class WideChain(WeighedNode):
    """Several chains side by side.

    Args:
        chains: of one shape.
        source: the value that all read, or a value that has their inputs side by side.
        output: channels of all outputs side by side.
        copies: whether all read the same value.
    """

    def __init__(self, chains: Sequence[ChainNode], source: int, output: int, *, copies: bool) -> None:
        super().__init__((source,), output, self._run)
        self.chains, self.copies = list(chains), copies
        self.eye = torch.eye(len(chains))

    def _run(self, scalars: Scalars, x: Tensor) -> Tensor:
        first, norm, relu = self.chains[0].first, self.chains[0].node.norm, self.chains[0].node.relu
        x = torch.cat([x] * len(self.chains), 1) if self.copies else x
        taps = torch.cat([c.first.weight for c in self.chains])
        u = depthwise(x, taps, first.stride[0], int(first.padding[0]), first.dilation[0])
        v = F.conv2d(u, self._diagonal())
        scale, shift = self._scales(scalars, v.shape[1])
        y, mean, inverse = torch.native_batch_norm(v, scale, shift, None, None, True, 0.0, norm.eps)
        if norm.track_running_stats:
            parts = mean.chunk(len(self.chains)), inverse.chunk(len(self.chains))
            for c, m, i in zip(self.chains, *parts, strict=True):
                note_statistics([c.node.norm], v.numel() // v.shape[1], m, i)
        return y.relu_() if relu else y

    def _diagonal(self) -> Tensor:
        """(chains * out, chains * in, 1, 1) with the 1x1 weights on the diagonal."""
        weights = torch.stack([c.second.weight[:, :, 0, 0] for c in self.chains])  # (chains, out, in)
        n, o, i = weights.shape
        return (weights[:, :, None, :] * self.eye.to(weights)[:, None, :, None]).reshape(n * o, n * i, 1, 1)

    def _scales(self, scalars: Scalars, channels: int) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias of the wide norm, times the weights of the chains' outputs."""
        factors = [scalars.product(c.node.factors) for c in self.chains]
        norms = [c.node.norm for c in self.chains]
        scale = shift = None
        if norms[0].affine:
            scale, shift = (torch.cat([getattr(n, name) for n in norms]) for name in ("weight", "bias"))
        if any(f is not None for f in factors):
            ones = torch.ones((), device=scalars.like.device, dtype=scalars.like.dtype)
            share = torch.stack([ones if f is None else f for f in factors]).repeat_interleave(channels // len(factors))
            scale = share if scale is None else scale * share
            shift = None if shift is None else shift * share
        return scale, shift


__all__ = ["WideChain", "widen"]
