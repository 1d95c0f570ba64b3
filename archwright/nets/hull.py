"""The largest module of every site: what a supernet must hold so that each architecture is a part of it.

A `HullWalker` sends shapes through a space's tree and keeps, wherever paths meet, the larger size of every axis. At a
leaf, ordered choices in elastic fields take their largest value; each setting of the other choices is a variant with
weights of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf, Shape
from archwright.operators.walk import ChoiceNode, Held, RepeatNode, Walker, resolve_fields, variants


@dataclass
class Site:
    """What a supernet holds at one site.

    `keyed` are the fields whose settings have weights of their own; `elastic` maps the other decisions of the leaf to
    their nodes.
    """

    name: str
    keyed: tuple[str, ...]
    elastic: dict[int, ChoiceNode]
    node: Leaf
    shapes: tuple[Shape, ...]
    variants: dict[Hashable, Leaf] = field(default_factory=dict)

    def key(self, leaf: Leaf) -> Hashable:
        """Which variant a resolved leaf belongs to."""
        return tuple(_hashable(getattr(leaf, name)) for name in self.keyed)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple((k, _hashable(v)) for k, v in value.items())
    return value if isinstance(value, Hashable) else repr(value)


def split_held(leaf: Leaf, held: Held) -> tuple[dict[int, ChoiceNode], dict[int, ChoiceNode]]:
    """Decisions of a leaf's own fields: those that slice one largest weight, and those with weights of their own."""
    apart = {
        decision
        for name, decisions in held.by_field.items()
        for decision in decisions
        if name not in (*leaf.elastic, leaf.mixes) or not _sliced(getattr(leaf, name))
    }
    elastic = {d: n for d, n in held.nodes.items() if d not in apart}
    return elastic, {d: n for d, n in held.nodes.items() if d in apart}


def _sliced(value: Any) -> bool:
    if isinstance(value, tuple):  # of entries that a mixture weighs one by one
        return all(_sliced(item) or not isinstance(item, ChoiceNode) for item in value)
    return isinstance(value, ChoiceNode) and value.ordered and not any(isinstance(o, ChoiceNode) for o in value.options)


def largest(node: ChoiceNode) -> int:
    """The code of an ordered choice's largest option."""
    return max(range(len(node.options)), key=lambda k: node.options[k])


class HullWalker(Walker):
    """Finds every site, its variants and its largest input shapes. Values are shapes without the batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.sites: dict[str, Site] = {}

    def leaf(self, leaf: Leaf, values: tuple[Shape, ...]) -> Shape:
        """Note the site; the output is the largest over the variants."""
        held = self.held(leaf)
        elastic, apart = split_held(leaf, held)
        ends = {d: largest(n) for d, n in elastic.items()}
        large = [resolve_fields(leaf, held, ends | setting) for setting in variants(list(apart.values()))]
        if leaf.site:
            keyed = tuple(n for n, ds in held.by_field.items() if any(d in apart for d in ds))
            self._note(leaf, keyed, elastic, values, large)
        return meet([one.output(*values) for one in large], leaf)

    def _note(
        self,
        leaf: Leaf,
        keyed: tuple[str, ...],
        elastic: dict[int, ChoiceNode],
        shapes: tuple[Shape, ...],
        large: Sequence[Leaf],
    ) -> None:
        site = self.sites.get(leaf.site)
        if site is None:
            site = self.sites[leaf.site] = Site(leaf.site, keyed, elastic, leaf, shapes)
        elif len(site.shapes) == len(shapes):
            site.shapes = tuple(meet(pair, leaf) for pair in zip(site.shapes, shapes, strict=True))
        for one in large:
            site.variants.setdefault(site.key(one), one)

    def choice(self, node: ChoiceNode, values: tuple[Shape, ...]) -> Shape:
        """All options; the largest output."""
        return meet([self.run(option, *values) for option in node.options], node.path)

    def repeat(self, node: RepeatNode, values: tuple[Shape, ...]) -> Shape:
        """All copies; the largest of the outputs at which the chain may end."""
        (shape,) = values
        ends = [shape] if 0 in node.times else []
        for i, copy in enumerate(node.copies):
            shape = self.run(copy, shape)
            if i + 1 in node.times:
                ends.append(shape)
        return meet(ends, node.path)

    def decide(self, part: Composite, held: Held, values: tuple[Shape, ...]) -> Shape:
        """Every wiring; the largest output."""
        settings = variants(list(held.nodes.values()))
        return meet([resolve_fields(part, held, s).flow(self.run, *values) for s in settings], part)


def meet(shapes: Sequence[Shape], where: Any) -> Shape:
    """Elementwise largest of shapes.

    Raises:
        SpaceError: if they differ in rank.
    """
    if len({len(s) for s in shapes}) != 1:
        raise SpaceError(
            f"paths of different rank meet at {where!r}: {sorted(set(shapes))}; bring them to one rank first"
        )
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))
