"""Search spaces: trees with choices, their members as codes, and everything done to them. No torch here."""

from archwright.space.architecture import Architecture, Architectures
from archwright.space.choices import Choice, Repeat, between, geometric, holds_choice, oneof, repeat, subset
from archwright.space.codec import FORMAT, decode_tree, encode_tree
from archwright.space.compile import Decision
from archwright.space.constraints import Constraint, constraint
from archwright.space.encoding import Graph, Node, graph
from archwright.space.grammar import grammar, ref
from archwright.space.space import Space
from archwright.space.text import ABSENT, differences, short_text

__all__ = [
    "ABSENT",
    "FORMAT",
    "Architecture",
    "Architectures",
    "Choice",
    "Constraint",
    "Decision",
    "Graph",
    "Node",
    "Repeat",
    "Space",
    "between",
    "constraint",
    "decode_tree",
    "differences",
    "encode_tree",
    "geometric",
    "grammar",
    "graph",
    "holds_choice",
    "oneof",
    "ref",
    "repeat",
    "short_text",
    "subset",
]
