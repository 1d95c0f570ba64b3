"""Taking a flow's modules apart into their layers (torch.fx), so that rewritings see layers and functions of tensors.

What cannot be traced, or reads tensors of its own, stays a module.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from archwright.nets.flow import Flow, FunctionNode, ModuleNode, Node, SumNode, WeighedNode, ZeroNode
from archwright.nets.supernet import SharedLayer

PURE = (
    F.relu,
    F.pad,
    operator.getitem,
    "clone",
)  # functions that give the same for the same, and that several modules repeat
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Inliner:
    """Replaces module nodes by the layers inside, and renames values where nodes vanish."""

    def __init__(self, flow: Flow, training: bool) -> None:
        self.flow, self.training = flow, training
        self.nodes: list[Node] = []
        self.names: dict[int, int] = {i: i for i in range(flow.inputs)}
        self.count = max([flow.inputs - 1, *(n.output for n in flow.nodes)]) + 1

    def run(self) -> tuple[list[Node], int]:
        """Nodes and the result's number."""
        for node in self.flow.nodes:
            inputs = tuple(self.names[n] for n in node.inputs)
            if isinstance(node, ModuleNode):
                self.names[node.output] = self._module(node.module, inputs)
            else:
                self.names[node.output] = self.add(_renamed(node, inputs, self.count))
        return self.nodes, self.names[self.flow.result]

    def add(self, node: Node) -> int:
        """Append a node whose output is the next value."""
        self.nodes.append(node)
        self.count += 1
        return self.count - 1

    def _module(self, module: nn.Module, inputs: tuple[int, ...]) -> int:
        if isinstance(module, nn.Identity):
            return inputs[0]
        plain = type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
        shared = isinstance(module, SharedLayer) and module.cuts  # a trace would only leave tensors in it
        if plain or shared or isinstance(module, BATCH_NORMS):
            return self.add(ModuleNode(inputs, self.count, module))
        graph = _traced(module, self.training)
        if graph is None:
            return self.add(ModuleNode(inputs, self.count, module))
        return self._inline(module, graph, inputs)

    def _inline(self, module: nn.Module, graph: fx.Graph, inputs: tuple[int, ...]) -> int:
        values: dict[fx.Node, int] = {}
        waiting = iter(inputs)
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = next(waiting)
            elif node.op == "call_module":
                values[node] = self._module(module.get_submodule(node.target), tuple(values[a] for a in node.args))
            elif node.op == "output":
                return values[node.args[0]]
            else:
                values[node] = self._function(node, values)
        raise AssertionError("a traced module ends in an output")

    def _function(self, node: fx.Node, values: dict[fx.Node, int]) -> int:
        used = list(dict.fromkeys(node.all_input_nodes))
        inputs = tuple(values[n] for n in used)
        if node.target in (operator.add, torch.add) and len(used) == 2 and not node.kwargs and _of_tensors(node):
            shape = ()
            return self.add(SumNode(inputs, self.count, ((), ()), shape))
        positions = {n: i for i, n in enumerate(used)}
        call = _caller(node.op, node.target, node.args, node.kwargs, positions)
        pure = node.target in PURE and len(used) == 1
        key = (node.target, repr(_shown(node.args)), repr(_shown(node.kwargs))) if pure else None
        return self.add(FunctionNode(inputs, self.count, call, key))


def _of_tensors(node: fx.Node) -> bool:
    """Whether all that a node reads are tensors, not sizes of tensors."""
    return all(_is_tensor(n) for n in node.all_input_nodes)


def _is_tensor(node: fx.Node) -> bool:
    if node.op in ("placeholder", "call_module"):
        return True
    return node.target not in (getattr, "size", "dim", "numel", "stride") and any(map(_is_tensor, node.all_input_nodes))


def _shown(value: Any) -> Any:
    return fx.node.map_arg(value, lambda n: "value")


@dataclass(frozen=True)
class _Slot:
    """Where a value belongs in the arguments of a call."""

    number: int


def _caller(op: str, target: Any, args: Any, kwargs: Any, positions: dict[fx.Node, int]) -> Callable[..., Tensor]:
    given, named = _slots(args, positions), _slots(kwargs, positions)

    def call(*values: Tensor) -> Tensor:
        a, k = _filled(given, values), _filled(named, values)
        return getattr(a[0], target)(*a[1:], **k) if op == "call_method" else target(*a, **k)

    return call


def _slots(value: Any, positions: dict[fx.Node, int]) -> Any:
    """Arguments of a traced call with slots for values, in plain lists that torch's compiler knows."""
    if isinstance(value, fx.Node):
        return _Slot(positions[value])
    return _mapped(value, lambda v: _slots(v, positions))


def _filled(value: Any, values: Sequence[Tensor]) -> Any:
    return values[value.number] if isinstance(value, _Slot) else _mapped(value, lambda v: _filled(v, values))


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested lists, tuples, dictionaries and slices with changed parts."""
    if isinstance(value, slice):
        return slice(change(value.start), change(value.stop), change(value.step))
    if isinstance(value, tuple):
        return tuple(change(v) for v in value)
    if isinstance(value, list):
        return [change(v) for v in value]
    return {k: change(v) for k, v in value.items()} if isinstance(value, dict) else value


class _Tracer(fx.Tracer):
    """Takes batch norms as wholes, also those over several processes."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, BATCH_NORMS) or super().is_leaf_module(m, module_qualified_name)


def _traced(module: nn.Module, training: bool) -> fx.Graph | None:
    """The graph of a module in one mode, or None where it cannot be traced or reads its own tensors."""
    modes = [(m, m.training) for m in module.modules()]
    try:
        graph = _Tracer().trace(module.train(training))
    except Exception:  # whatever a module's control flow raises: it is then run as a whole
        return None
    finally:
        for one, mode in modes:
            one.training = mode
    for node in graph.nodes:
        tensors = all(isinstance(a, fx.Node) for a in node.args) and not node.kwargs
        if node.op == "get_attr" or (node.op == "call_module" and not tensors):
            return None
        if node.op == "placeholder" and str(node.target).startswith("*"):
            return None
        if node.op == "output" and not isinstance(node.args[0], fx.Node):
            return None
    return graph


def _renamed(node: Node, inputs: tuple[int, ...], output: int) -> Node:
    if isinstance(node, SumNode):
        return SumNode(inputs, output, node.factors, node.shape)
    if isinstance(node, FunctionNode):
        return FunctionNode(inputs, output, node.function, node.key)
    if isinstance(node, WeighedNode):
        return WeighedNode(inputs, output, node.function)
    if isinstance(node, ZeroNode):
        return ZeroNode(inputs, output, node.shape)
    raise AssertionError(f"unknown node {type(node).__name__}")


__all__ = ["BATCH_NORMS", "Inliner"]
