"""Canonical text of an ONNX graph: equal texts for equal graphs, whatever names and order the exporter chose.

Qin et al., "ONNX-Net: Towards Universal Representations and Instant Performance Prediction for Neural Architectures"
(2025): one short line a node, with its operator, attributes, small constants, weight shapes, inputs and output shape.
Values of weights are left out. Nodes are ordered by depth and by labels refined over their neighbours (Weisfeiler &
Leman, 1968).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from archwright.errors import require
from archwright.nets.build import build
from archwright.nets.onnx_probe import onnx_bytes
from archwright.operators.base import Shape
from archwright.space import Architecture

COMMUTATIVE = frozenset({"Add", "Mul", "Sum", "Max", "Min", "And", "Or"})
ROUNDS = 8  # of refinement, and at least the depth that tells symmetric branches apart in practice


@dataclass(frozen=True)
class OnnxNode:
    """One node.

    text: operator, attributes, shapes of weights and constants, output shape without the batch.
    inputs: places of the nodes read, -1 - k for input k of the graph; sorted where their order does not matter.
    """

    operator: str
    text: str
    inputs: tuple[int, ...]
    weights: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """Nodes in an order in which each reads what stands before; `outputs` are places."""

    nodes: tuple[OnnxNode, ...]
    outputs: tuple[int, ...]

    @property
    def text(self) -> str:
        """One line a node, then the outputs; the same for equal graphs once the nodes are in `canonical` order."""
        lines = [f"{i}: {n.text} ({' '.join(map(str, n.inputs))})" for i, n in enumerate(self.nodes)]
        return "\n".join([*lines, f"out ({' '.join(map(str, self.outputs))})"])


def onnx_graph(architecture: Architecture | Any, *input_shapes: Shape) -> OnnxGraph:
    """The canonical graph of a network's ONNX export.

    Raises:
        MissingPackageError: without the onnx extra.
        ExportError: if the network cannot be exported.
    """
    require("onnx", extra="onnx", feature="the ONNX text of an architecture")
    net = build(architecture, *input_shapes, seed=0).eval()
    data = onnx_bytes(net, [torch.zeros(1, *shape) for shape in input_shapes])
    return canonical(parse(data))


def parse(data: bytes) -> OnnxGraph:
    """The nodes of an ONNX file that lead to an output, in its own order; constants become part of their readers."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(data))
    graph = model.graph
    constants = {t.name: tuple(t.dims) for t in graph.initializer}
    literals: dict[str, str] = {}
    shapes = {v.name: _dims(v) for v in (*graph.value_info, *graph.output, *graph.input)}
    places = {v.name: -1 - k for k, v in enumerate(v for v in graph.input if v.name not in constants)}
    nodes: list[OnnxNode] = []
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = tuple(node.attribute[0].t.dims)
            literals[node.output[0]] = _literal(node.attribute[0].t)
            continue
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
            literals[node.output[0]] = literals.get(node.input[0], "")
            continue
        read = tuple(places[name] for name in node.input if name in places)
        weights = tuple(constants[name] for name in node.input if name in constants)
        shape = shapes.get(node.output[0], ())[1:]
        words = [node.op_type, *(f"{a.name}={_value(a)}" for a in sorted(node.attribute, key=lambda a: a.name))]
        words += [f"w={'x'.join(map(str, w))}" for w in weights if w]
        words += [f"c={literals[name]}" for name in node.input if literals.get(name)]
        words.append("->" + "x".join(map(str, shape)))
        for name in node.output:
            places[name] = len(nodes)
        inputs = tuple(sorted(read)) if node.op_type in COMMUTATIVE else read
        nodes.append(OnnxNode(node.op_type, " ".join(words), inputs, weights, shape))
    return _reaching(OnnxGraph(tuple(nodes), tuple(places[v.name] for v in graph.output)))


def _dims(value: Any) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _value(attribute: Any) -> str:
    import onnx

    found = onnx.helper.get_attribute_value(attribute)
    if isinstance(found, bytes):
        return found.decode()
    if isinstance(found, list | tuple):
        return ",".join(str(v) for v in found)
    return f"{found:g}" if isinstance(found, float) else str(found)


def _literal(tensor: Any) -> str:
    """Values of a small constant of the graph, which steer it as attributes do."""
    import onnx

    found = onnx.numpy_helper.to_array(tensor).ravel()
    return ",".join(f"{float(v):g}" for v in found) if found.size <= 8 else ""


def _reaching(graph: OnnxGraph) -> OnnxGraph:
    wanted = set(graph.outputs)
    for i in reversed(range(len(graph.nodes))):
        if i in wanted:
            wanted.update(j for j in graph.nodes[i].inputs if j >= 0)
    return _arranged(graph, [i for i in range(len(graph.nodes)) if i in wanted])


def canonical(graph: OnnxGraph) -> OnnxGraph:
    """The same graph with its nodes in an order that does not depend on the given one."""
    nodes = graph.nodes
    depth: list[int] = []
    for node in nodes:
        depth.append(1 + max((depth[j] for j in node.inputs if j >= 0), default=0))
    colours = [_digest(f"{d} {n.text}") for d, n in zip(depth, nodes, strict=True)]
    readers: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for j in node.inputs:
            if j >= 0:
                readers[j].append(i)
    ends = {i: k for k, i in enumerate(graph.outputs)}
    for _ in range(max(ROUNDS, min(len(nodes), 4 * ROUNDS))):
        colours = [_refined(i, node, colours, readers[i], ends.get(i)) for i, node in enumerate(nodes)]
    return _arranged(graph, _order(nodes, depth, colours))


def _order(nodes: Sequence[OnnxNode], depth: Sequence[int], colours: Sequence[str]) -> list[int]:
    """Places by depth, then colour; equal colours by the new places of what they read, so that twins stay in step."""
    order: list[int] = []
    place: dict[int, int] = {}
    for level in range(1, max(depth, default=0) + 1):
        here = [i for i in range(len(nodes)) if depth[i] == level]
        here.sort(key=lambda i: (colours[i], sorted(place.get(j, j) for j in nodes[i].inputs)))
        for i in here:
            place[i] = len(order)
            order.append(i)
    return order


def _refined(place: int, node: OnnxNode, colours: Sequence[str], readers: Sequence[int], end: int | None) -> str:
    read = [colours[j] if j >= 0 else str(j) for j in node.inputs]
    if node.operator in COMMUTATIVE:
        read = sorted(read)
    return _digest(f"{colours[place]} {read} {sorted(colours[j] for j in readers)} {end}")


def _arranged(graph: OnnxGraph, order: Sequence[int]) -> OnnxGraph:
    place = {old: new for new, old in enumerate(order)}
    nodes = []
    for old in order:
        node = graph.nodes[old]
        read = tuple(place.get(j, j) for j in node.inputs)
        read = tuple(sorted(read)) if node.operator in COMMUTATIVE else read
        nodes.append(OnnxNode(node.operator, node.text, read, node.weights, node.shape))
    return OnnxGraph(tuple(nodes), tuple(place.get(j, j) for j in graph.outputs))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
