"""From parts to functions of a code: the tree of an architecture, and its canonical text.

Both are the same walk with another way to put parts together. What depends on no decision is made once; what depends
on few is remembered by the codes it depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import itemgetter
from typing import Any, Protocol

from archwright.space.canonical import group_text, has_site, leaf_text
from archwright.space.compile import Compiled, Copies, Fixed, Group, Part, Pick

Code = Sequence[int]  # one int a decision
Resolver = Callable[[Code], Any]

REMEMBER = 4096  # a part with more variants than this is made anew each time


class Maker(Protocol):
    """How values are put together."""

    def leaf(self, value: Any) -> Any:
        """A value without parts."""

    def group(self, group: Group, kind: type) -> Callable[[list[Any]], Any]:
        """A function from the made parts to the whole."""

    def sharable(self, kind: type) -> bool:
        """Whether one made object may stand in several trees."""


class TreeMaker:
    """Makes the values themselves."""

    def leaf(self, value: Any) -> Any:
        """The value."""
        return value

    def group(self, group: Group, kind: type) -> Callable[[list[Any]], Any]:
        """The constructor of the tuple, list, dict or dataclass; sets `site` where the class has one."""
        keys, site = group.keys, group.site
        if kind in (tuple, list):
            return kind
        if kind is dict:
            return lambda values: dict(zip(keys, values, strict=True))
        if not has_site(kind):
            return lambda values: kind(**dict(zip(keys, values, strict=True)))
        set_attribute = object.__setattr__  # `site` is no field of the frozen dataclass

        def make(values: list[Any]) -> Any:
            made = kind(**dict(zip(keys, values, strict=True)))
            set_attribute(made, "site", site)
            return made

        return make

    def sharable(self, kind: type) -> bool:
        """Lists and dicts could be changed by whoever holds them."""
        return kind not in (list, dict)


class TextMaker:
    """Makes canonical text."""

    def leaf(self, value: Any) -> Any:
        """The value's text."""
        return leaf_text(value)

    def group(self, group: Group, kind: type) -> Callable[[list[Any]], Any]:
        """Joins the texts of the parts."""
        keys = group.keys
        return lambda texts: group_text(kind, keys, texts)

    def sharable(self, kind: type) -> bool:
        """Text cannot change."""
        return True


class _Made:
    """A function of the code, and what is known of it."""

    __slots__ = ("part", "resolve", "sharable")

    def __init__(self, part: Part, resolve: Resolver, sharable: bool) -> None:
        self.part, self.resolve, self.sharable = part, resolve, sharable


def resolver(compiled: Compiled, maker: Maker) -> Resolver:
    """A function from one code (ints, one a decision, -1 = inactive) to the made tree."""
    sizes = [d.size for d in compiled.decisions]
    return _make(compiled.root, maker, sizes).resolve


def _make(part: Part, maker: Maker, sizes: list[int]) -> _Made:
    if isinstance(part, Fixed):
        value = maker.leaf(part.value)
        return _Made(part, lambda code: value, True)
    children = [_make(p, maker, sizes) for p in part.parts]
    sharable = all(c.sharable for c in children)
    functions = [c.resolve for c in children]
    if isinstance(part, Pick):
        d = part.decision
        return _Made(part, lambda code: functions[code[d]](code), sharable)
    if isinstance(part, Copies):
        made = _Made(part, _copies(part, functions, maker), sharable)
    else:
        build = maker.group(part, part.kind)
        sharable = sharable and maker.sharable(part.kind)
        made = _Made(part, lambda code: build([f(code) for f in functions]), sharable)
    return _remember(made, sizes) if sharable else made


def _copies(part: Copies, functions: list[Resolver], maker: Maker) -> Resolver:
    build = maker.group(Group(tuple, (), (), "", ()), tuple)
    counts, d = part.counts, part.decision
    if d is None:
        return lambda code: build([f(code) for f in functions])
    return lambda code: build([f(code) for f in functions[: counts[code[d]]]])


def _remember(made: _Made, sizes: list[int]) -> _Made:
    """Keep what was made, by the codes it depends on."""
    inside = made.part.decisions
    make = made.resolve
    if not inside:
        kept: list[Any] = []

        def constant(code: Code) -> Any:
            if not kept:
                kept.append(make(code))
            return kept[0]

        return _Made(made.part, constant, True)
    if len(inside) > 12 or prod(sizes[d] + 1 for d in inside) > REMEMBER:  # 12: 2**12 = 4096
        return made
    known: dict[Any, Any] = {}
    key_of = itemgetter(*inside)

    def remembered(code: Code) -> Any:
        key = key_of(code)
        value = known.get(key)
        if value is None:
            value = known[key] = make(code)
        return value

    return _Made(made.part, remembered, True)


__all__ = ["TextMaker", "TreeMaker", "resolver"]
