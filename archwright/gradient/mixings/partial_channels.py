"""Partial channel connections with edge normalisation (PC-DARTS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.mixings.base import MixingMethod
from archwright.nets.mixing import Mixing
from archwright.operators.base import Operator
from archwright.operators.cell import Edge, Node
from archwright.operators.edge_weight import EdgeWeight
from archwright.operators.partial_channels import PartialChannels
from archwright.operators.sequential import Sequential, flat
from archwright.registry import register
from archwright.space import Space
from archwright.space.choices import Choice, Repeat, holds_choice, instances


@register("mixings", "partial_channels", labels={"calls": "one an option, on 1/share of the channels"})
@dataclass(frozen=True)
class Partial(MixingMethod):
    """Candidates of every edge see 1/share of its channels; edges are weighed by a softmax of their own.

    Xu et al., 2020, equations 3 and 4. Nodes that share their decisions share the edge weights.

    Attributes:
        share: K of the paper.
        edge_normalisation: whether edges are weighed.
    """

    share: int = 4
    edge_normalisation: bool = True

    def engine(self) -> Mixing:
        """Slices are superposed, operators summed."""
        return Mixing(entangled=True)

    def search_space(self, space: Space) -> Space:
        """The space with partial edges.

        Raises:
            ConfigurationError: if it has no cells.
        """
        tree = self._rewritten(space.tree)
        if not any(True for _ in instances(tree, (EdgeWeight, PartialChannels))):
            raise ConfigurationError(
                "partial channels need a space of cells whose nodes have edges; this one has none, mix `outputs`"
            )
        return Space(tree, (*space.tables, *space.predicates))

    def extra(self, space: Space) -> Mapping[str, int]:
        """One vector for every group of edges."""
        if not self.edge_normalisation:
            return {}
        return {o.vector: o.count for o in instances(space.tree, EdgeWeight)}

    def extra_weights(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Softmax over the edges of a node."""
        return {name: p.softmax(-1) for name, p in parameters.items()}

    def _rewritten(self, value: Any, path: str = "") -> Any:
        if isinstance(value, Node):
            return self._node(value, path)
        if isinstance(value, Choice):
            options = tuple(self._rewritten(o, f"{path}|{i}") for i, o in enumerate(value.options))
            return replace(value, options=options)
        if isinstance(value, Repeat):
            return replace(value, body=self._rewritten(value.body, path))
        if isinstance(value, tuple | list):
            return type(value)(self._rewritten(v, f"{path}.{i}") for i, v in enumerate(value))
        if isinstance(value, Mapping):
            return {k: self._rewritten(v, f"{path}.{k}") for k, v in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return replace(value, **{k: self._rewritten(v, f"{path}.{k}") for k, v in parts.items()})
        return value

    def _node(self, node: Node, path: str) -> Node:
        edges = [e for e in flat(node.edges) if isinstance(e, Edge)]
        if len(edges) != len(list(flat(node.edges))):
            raise ConfigurationError("partial channels need nodes whose edges are listed, not chosen")
        if not all(holds_choice(e.operator) for e in edges):
            return node
        names = [next(instances(e.operator, Choice)).name for e in edges]
        vector = "edges:" + ("|".join(names) if all(names) else path)
        made = []
        for i, edge in enumerate(edges):
            body: Operator = PartialChannels(_thinner(edge.operator, self.share), self.share)
            if self.edge_normalisation and len(edges) > 1:
                body = Sequential((body, EdgeWeight(vector, i, len(edges))))
            made.append(replace(edge, operator=body))
        return replace(node, edges=tuple(made))


def _thinner(value: Any, share: int) -> Any:
    """An operator with 1/share of the channels, in all its options."""
    if isinstance(value, Choice):
        return replace(value, options=tuple(_thinner(o, share) for o in value.options))
    if isinstance(value, tuple):
        return tuple(_thinner(v, share) for v in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed: dict[str, Any] = {}
    for f in fields(value):
        inner = getattr(value, f.name)
        if f.name == "channels" and isinstance(inner, int):
            if inner % share:
                raise ConfigurationError(f"1/{share} of the channels of {value!r} is no whole number")
            changed[f.name] = inner // share
        elif f.init:
            changed[f.name] = _thinner(inner, share)
    return replace(value, **changed)
