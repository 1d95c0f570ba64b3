"""Nodes with edges in a space of cells: which decisions choose the operators of a node's edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archwright.errors import ConfigurationError
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.sequential import flat
from archwright.operators.skip import Skip
from archwright.operators.walk import ChoiceNode, annotate
from archwright.operators.zero import Zero
from archwright.space import Space
from archwright.space.choices import instances

NO_EDGE = ("none", "zero")
SKIPS = ("skip", "skip_connect", "identity", "id")


@dataclass(frozen=True)
class EdgeGroup:
    """The edges into one node: index of each edge's decision, and the option that means no edge."""

    decisions: tuple[int, ...]
    none: tuple[int, ...]


def edge_groups(space: Space) -> list[EdgeGroup]:
    """Every node whose edges are choices with a `none` among them; nodes that share decisions are listed once.

    Raises:
        ConfigurationError: if there is none.
    """
    found: dict[tuple[int, ...], EdgeGroup] = {}
    for node in instances(annotate(space), Node):
        edges = [e for e in flat(node.edges) if isinstance(e, Edge)]
        choices = [c for e in edges if (c := next(instances(e.operator, ChoiceNode), None)) is not None]
        nones = [none for c in choices if (none := _none_of(c)) is not None]
        if edges and len(nones) == len(edges):
            decisions = tuple(c.decision for c in choices)
            found[decisions] = EdgeGroup(decisions, tuple(nones))
    if not found:
        raise ConfigurationError(
            "the two-edges rule needs a space of cells whose edges have a 'none' option; use the selection 'argmax'"
        )
    return list(found.values())


def results_of(space: Space) -> set[str]:
    """What the cells of a space give out."""
    return {cell.result for cell in instances(annotate(space), Cell)}


def _none_of(choice: ChoiceNode) -> int | None:
    for k, option in enumerate(choice.options):
        if isinstance(option, Zero) or option in NO_EDGE:
            return k
    return None


def skip_options(space: Space) -> dict[int, tuple[int, ...]]:
    """Decision -> the options that are skip connections, for decisions that have any."""
    out = {}
    for d in space.decisions:
        skips = tuple(k for k, o in enumerate(d.options) if isinstance(o, Skip) or (isinstance(o, str) and o in SKIPS))
        if skips:
            out[d.index] = skips
    return out


def skip_share(space: Space, code: Any) -> float:
    """Share of skip connections among the active decisions that could be one; 0 if there is none."""
    found = [int(code[d] in skips) for d, skips in skip_options(space).items() if code[d] >= 0]
    return sum(found) / len(found) if found else 0.0
