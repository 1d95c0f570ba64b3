"""Rewriting a mixture's flow so that it computes the same in less time and memory. Each rewriting is exact.

1. Modules are taken apart into their layers (torch.fx), identities and zeros are dropped, sums of sums become one sum.
2. Equal functions of one value are computed once: the ReLU and the pools that every edge of a cell repeats, and
   while training also batch norms without parameters.
3. The weight of a batch norm's output in a sum becomes the norm's own scale.
4. ReLU overwrites the output of a batch norm, which nothing else reads; a depthwise convolution's input gradient is a
   convolution with the flipped kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F

from archwright.nets.fast import chain, depthwise, normalised
from archwright.nets.flow import Factor, Flow, FunctionNode, ModuleNode, Node, Scalars, SumNode, WeighedNode, ZeroNode
from archwright.nets.inline import BATCH_NORMS, Inliner

POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def optimise(flow: Flow, *, training: bool) -> Flow:
    """A faster flow with equal results."""
    nodes, result = Inliner(flow, training).run()
    nodes, result = _flatten_sums(nodes, result)
    nodes, result = _share(nodes, result, training)
    nodes = _fold_norms(nodes, result) if training else nodes
    return Flow(flow.inputs, nodes, result)


# ---- sums ---------------------------------------------------------------------------------------------------------


def _users(nodes: Sequence[Node], result: int) -> Counter[int]:
    return Counter([result, *(n for node in nodes for n in node.inputs)])


def _flatten_sums(nodes: Sequence[Node], result: int) -> tuple[list[Node], int]:
    """Terms that are zero vanish; a sum that only another sum reads becomes part of it."""
    users = _users(nodes, result)
    made = {node.output: node for node in nodes}
    out: list[Node] = []
    gone: set[int] = set()
    for node in nodes:
        if isinstance(node, SumNode):
            node = _flattened(node, made, users, gone)
            made[node.output] = node
        out.append(node)
    return [n for n in out if n.output not in gone], result


def _flattened(node: SumNode, made: dict[int, Node], users: Counter[int], gone: set[int]) -> SumNode:
    terms: list[tuple[int, tuple[Factor, ...]]] = []
    shape = node.shape
    for n, factors in zip(node.inputs, node.factors, strict=True):
        inner = made.get(n)
        if isinstance(inner, ZeroNode) and node.shape:
            continue
        if isinstance(inner, SumNode) and users[n] == 1 and _short(inner, factors):
            terms += [(m, (*factors, *f)) for m, f in zip(inner.inputs, inner.factors, strict=True)]
            shape = shape or inner.shape
            gone.add(n)
        else:
            terms.append((n, factors))
    return SumNode(tuple(n for n, _ in terms), node.output, tuple(f for _, f in terms), shape)


def _short(inner: SumNode, factors: tuple[Factor, ...]) -> bool:
    """Whether taking a sum apart costs nothing: no outer factor, or factors on the scalars only."""
    return not factors or all(inner.factors)


# ---- sharing ------------------------------------------------------------------------------------------------------


def _key(node: Node, training: bool) -> Any:
    """What makes two nodes on the same inputs equal; None if nothing does."""
    if isinstance(node, FunctionNode):
        return ("relu",) if node.key and node.key[0] is F.relu else node.key
    if not isinstance(node, ModuleNode):
        return None
    module = node.module
    if type(module) is nn.ReLU:
        return ("relu",)
    if isinstance(module, POOLS):
        return type(module).__name__, repr(module)
    if training and isinstance(module, BATCH_NORMS) and not module.affine:
        return "norm", module.eps, module.momentum, module.track_running_stats
    return None


class SharedNorm(nn.Module):
    """A batch norm without parameters that stands for several on the same values; all keep their own statistics."""

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.norms = list(norms)  # a plain list: they are registered in the supernet

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        return normalised(x, self.norms, None)


def _share(nodes: Sequence[Node], result: int, training: bool) -> tuple[list[Node], int]:
    names: dict[int, int] = {}
    known: dict[Any, Node] = {}
    out: list[Node] = []
    for node in nodes:
        inputs = tuple(names.get(n, n) for n in node.inputs)
        node.inputs = inputs
        key = _key(node, training)
        first = known.get((key, inputs)) if key is not None else None
        if first is None:
            if key is not None:
                known[key, inputs] = node
            out.append(node)
            continue
        names[node.output] = first.output
        if key[0] == "norm" and isinstance(first, ModuleNode) and isinstance(node, ModuleNode):
            if not isinstance(first.module, SharedNorm):
                first.module = SharedNorm([first.module])
            first.module.norms.append(node.module)
    return out, names.get(result, result)


# ---- norms, ReLU, depthwise ---------------------------------------------------------------------------------------


def _fold_norms(nodes: Sequence[Node], result: int) -> list[Node]:
    """Put the weights of sums and the ReLUs that follow into batch norms that nothing else reads."""
    users = _users(nodes, result)
    out = [_NormNode(n.inputs, n.output, n.module) if _is_norm(n) else n for n in nodes]
    made = {node.output: node for node in out}
    for node in out:
        if isinstance(node, SumNode):
            _fold_into_sum(node, made, users)
    gone: set[int] = set()
    for i, node in enumerate(out):
        source = made.get(node.inputs[0]) if node.inputs else None
        if _key(node, False) == ("relu",) and isinstance(source, _NormNode) and users[source.output] == 1:
            gone.add(source.output)
            out[i] = _NormNode(source.inputs, node.output, source.norm, source.factors, relu=True)
    return [_with_depthwise(n) for n in _with_chains([n for n in out if n.output not in gone], users)]


def _with_chains(nodes: Sequence[Node], users: Counter[int]) -> list[Node]:
    """Depthwise convolution, 1x1 convolution and norm, each read by the next alone, become one node."""
    made = {node.output: node for node in nodes}
    gone: set[int] = set()
    out: list[Node] = []
    for node in nodes:
        if isinstance(node, _NormNode):
            second = made.get(node.inputs[0])
            first = made.get(second.inputs[0]) if isinstance(second, ModuleNode) and _is_pointwise(second) else None
            alone = users[node.inputs[0]] == 1 and first is not None and users[first.output] == 1
            if alone and isinstance(second, ModuleNode) and isinstance(first, ModuleNode) and _is_depthwise(first):
                gone |= {first.output, second.output}
                node = ChainNode(node, first, second)
        out.append(node)
    return [n for n in out if n.output not in gone]


def _is_pointwise(node: ModuleNode) -> bool:
    conv = node.module
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (1, 1)
        and conv.stride == (1, 1)
        and conv.groups == 1
        and conv.bias is None
        and conv.padding in ((0, 0), 0, "valid", "same")
    )


def _is_norm(node: Node) -> TypeGuard[ModuleNode]:
    return isinstance(node, ModuleNode) and isinstance(node.module, BATCH_NORMS)


def _fold_into_sum(node: SumNode, made: dict[int, Node], users: Counter[int]) -> None:
    factors = list(node.factors)
    for i, (n, own) in enumerate(zip(node.inputs, node.factors, strict=True)):
        source = made.get(n)
        if own and isinstance(source, _NormNode) and users[n] == 1:
            source.factors = own
            factors[i] = ()
            node.folded[i] = own
    node.factors = tuple(factors)


class _NormNode(WeighedNode):
    """A batch norm times a product of weights, and ReLU."""

    def __init__(
        self, inputs: tuple[int, ...], output: int, norm: Any, factors: tuple[Factor, ...] = (), *, relu: bool = False
    ) -> None:
        super().__init__(inputs, output, self._run)
        self.norm, self.factors, self.relu = norm, factors, relu

    def _run(self, scalars: Scalars, x: Tensor) -> Tensor:
        return normalised(x, [self.norm], scalars.product(self.factors), relu=self.relu)


class ChainNode(WeighedNode):
    """Depthwise convolution, 1x1 convolution and norm."""

    def __init__(self, node: _NormNode, first: ModuleNode, second: ModuleNode) -> None:
        super().__init__(first.inputs, node.output, self._run)
        self.first: Any = first.module
        self.second: Any = second.module
        self.node = node

    def _run(self, scalars: Scalars, x: Tensor) -> Tensor:
        scale = scalars.product(self.node.factors)
        return chain(x, self.first, self.second, self.node.norm, scale, relu=self.node.relu)


def _is_depthwise(node: ModuleNode) -> bool:
    conv = node.module
    return (
        type(conv) is nn.Conv2d
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.groups > 1
        and conv.stride[0] == conv.stride[1]
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.padding[0] == conv.padding[1]
        and conv.dilation[0] == conv.dilation[1]
        and conv.padding[0] <= conv.dilation[0] * (conv.kernel_size[0] - 1)
    )


def _with_depthwise(node: Node) -> Node:
    if not isinstance(node, ModuleNode) or not _is_depthwise(node):
        return node
    conv: Any = node.module
    stride, padding, dilation = conv.stride[0], int(conv.padding[0]), conv.dilation[0]
    return FunctionNode(node.inputs, node.output, lambda x: depthwise(x, conv.weight, stride, padding, dilation))
