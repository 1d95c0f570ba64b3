"""Embedding of the ONNX text: one vector for any network of any space that exports.

Qin et al., "ONNX-Net" (2025), describe networks by the lines of their ONNX graph, so that a predictor trained on one
space reads another. Here the lines are hashed (Weinberger et al., 2009) instead of being read by a language model:
words, and pairs of a node and what it reads, as logarithms of counts, beside sums over the graph: weights,
multiply-accumulates, depth. Nodes that only ever see zeros, or that only zeros read, are passed over.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np

from archwright.operators.base import Shape
from archwright.predictors.embeddings.onnx_graph import OnnxGraph, OnnxNode, onnx_graph
from archwright.registry import register
from archwright.space import Architecture, Architectures

REMEMBER = 8192  # rows
SUMS = ("nodes", "weights", "macs", "depth", "weighted_depth", "ways", "width", "joins")


@register("embeddings", "onnx_text", labels={"space": "any", "extra": "onnx"})
class OnnxText:
    """Hashed words of canonical ONNX text.

    Args:
        input_shapes: of each input, without the batch axis.
        features: columns that words are hashed into; `len(SUMS)` more follow.

    Raises:
        MissingPackageError: on use, without the onnx extra.
    """

    def __init__(self, *input_shapes: Shape, features: int = 256) -> None:
        self.input_shapes, self.features = input_shapes, features
        self._known: dict[str, np.ndarray] = {}  # an export costs tenths of a second, and strategies ask again

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, features + len(SUMS)) float32."""
        rows = [self._row(a) for a in architectures]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.features + len(SUMS))

    def _row(self, architecture: Architecture) -> np.ndarray:
        key = architecture.digest
        if key not in self._known:
            if len(self._known) >= REMEMBER:
                self._known.clear()
            self._known[key] = self.of_graph(onnx_graph(architecture, *self.input_shapes))
        return self._known[key]

    def text(self, architecture: Architecture) -> str:
        """The canonical text of one architecture."""
        return onnx_graph(architecture, *self.input_shapes).text

    def of_graph(self, graph: OnnxGraph) -> np.ndarray:
        """(features + len(SUMS),) float64 of one graph."""
        out = np.zeros(self.features)
        for word, count in _words(graph, alive(graph)).items():
            out[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % self.features] += math.log1p(count)
        return np.concatenate([out, sums_of(graph)])


def alive(graph: OnnxGraph) -> list[bool]:
    """Whether each node's value can differ from zero and reaches an output through such values.

    A convolution of zeros counts as zero: what its bias adds is the same for every input. So does a shape.
    """
    moves: list[bool] = []
    for node in graph.nodes:
        dead = node.operator == "Shape" or (node.operator == "Mul" and "c=0" in node.text.split())
        moves.append(not dead and any(j < 0 or moves[j] for j in node.inputs))
    read = set(graph.outputs)
    for i in reversed(range(len(graph.nodes))):
        if i in read and moves[i]:
            read.update(j for j in graph.nodes[i].inputs if j >= 0)
    return [i in read and moves[i] for i in range(len(graph.nodes))]


def _words(graph: OnnxGraph, live: list[bool]) -> Counter[str]:
    found: Counter[str] = Counter()
    for i, node in enumerate(graph.nodes):
        if live[i]:
            kind = _kind(node)
            found.update([kind, *(f"{node.operator} {w}" for w in node.text.split() if "=" in w and w[:2] != "w=")])
            found.update(f"{_kind(graph.nodes[j])} > {kind}" for j in node.inputs if j >= 0 and live[j])
    return found


def _kind(node: OnnxNode) -> str:
    """Operator with kernel and grouping, which mean the same in every space; sizes are left to the sums."""
    if node.operator != "Conv" or not node.weights:
        return node.operator
    weight = node.weights[0]
    grouped = "depthwise " if weight[1] == 1 and weight[0] > 1 else ""
    return f"{grouped}Conv {'x'.join(map(str, weight[2:]))}"


def sums_of(graph: OnnxGraph) -> np.ndarray:
    """(len(SUMS),) logarithms of sums over the nodes that are alive."""
    live = alive(graph)
    totals = {"nodes": 0.0, "weights": 0.0, "macs": 0.0, "width": 0.0, "joins": 0.0}
    depth: dict[int, tuple[int, int, float]] = {}  # nodes and weighted nodes on the longest way, log of ways
    for i, node in enumerate(graph.nodes):
        if not live[i]:
            continue
        size = math.prod(node.weights[0]) if node.weights and len(node.weights[0]) > 1 else 0
        read = [depth[j] for j in node.inputs if j in depth]
        totals["nodes"] += 1
        totals["weights"] += size
        totals["macs"] += size * (math.prod(node.shape[1:]) if len(node.shape) > 1 else 1)
        totals["width"] = max(totals["width"], node.shape[0] if size and node.shape else 0)
        totals["joins"] += len(read) > 1
        ways = float(np.logaddexp.reduce([w for _, _, w in read])) if read else 0.0
        longest, heavy = (max((r[k] for r in read), default=0) for k in (0, 1))
        depth[i] = (int(longest) + 1, int(heavy) + (size > 0), ways)
    last = depth.get(max(graph.outputs, default=-1), (0, 0, 0.0))
    found = {name: math.log1p(v) for name, v in totals.items()}
    found |= {"depth": math.log1p(last[0]), "weighted_depth": math.log1p(last[1]), "ways": last[2]}
    return np.array([found[name] for name in SUMS])
