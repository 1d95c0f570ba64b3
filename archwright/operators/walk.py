"""Walking a space of networks without leaving it: the tree with its choices still in place, and who passes through.

`annotate` turns a space's tree into one whose choices know their decision and whose operators know their site. A
`Walker` then sends values through it by running the composites' own `flow`. What a value is, the walker decides:
shapes, tensors, or one row per architecture of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf, Operator
from archwright.space import Space
from archwright.space.choices import Choice, Repeat


@dataclass(frozen=True, eq=False)
class ChoiceNode:
    """A choice in an annotated tree: `decision` indexes the codes, `options` are annotated."""

    decision: int
    path: str
    options: tuple[Any, ...]
    ordered: bool


@dataclass(frozen=True, eq=False)
class RepeatNode:
    """A repeat whose number of copies is a decision: option k of the decision keeps the first `times[k]` copies."""

    decision: int
    path: str
    times: tuple[int, ...]
    copies: tuple[Any, ...]


def network_of(tree: Any) -> tuple[Any, str]:
    """The network inside a tree, and its path: the root itself, or what its `network` key or field holds.

    Raises:
        SpaceError: if the tree holds no network.
    """
    if isinstance(tree, Operator):
        return tree, ""
    if isinstance(tree, Choice):
        return tree, "tree"  # the path that a space gives a choice at its root
    if isinstance(tree, Mapping) and "network" in tree:
        return tree["network"], "network"
    if is_dataclass(tree) and hasattr(tree, "network"):
        return tree.network, "network"
    raise SpaceError(
        f"expected a tree whose root is an operator or that has one as `network`, got {type(tree).__name__}; "
        "only such spaces have networks to build"
    )


def annotate(space: Space) -> Any:
    """The network of a space with every choice bound to its decision and every operator to its site."""
    node, path = network_of(space.tree)
    return _annotate(node, path, space)


def _annotate(node: Any, path: str, space: Space) -> Any:
    if isinstance(node, Choice):
        decision = space.decision(node.name or path)
        options = tuple(_annotate(o, f"{path}|{k}", space) for k, o in enumerate(node.options))
        return ChoiceNode(decision.index, decision.path, options, node.ordered)
    if isinstance(node, Repeat):
        return _annotate_repeat(node, path, space)
    if isinstance(node, tuple | list):
        return tuple(_annotate(item, _join(path, str(i)), space) for i, item in enumerate(node))
    if isinstance(node, Mapping):
        return {key: _annotate(item, _join(path, str(key)), space) for key, item in node.items()}
    if is_dataclass(node) and not isinstance(node, type):
        parts = {f.name: _annotate(getattr(node, f.name), _join(path, f.name), space) for f in fields(node) if f.init}
        copy = replace(node, **parts)
        if isinstance(copy, Operator):  # a root that is a composite needs a place for what its flow makes
            object.__setattr__(copy, "site", path or ("network" if isinstance(copy, Composite) else ""))
        return copy
    return node


def _annotate_repeat(node: Repeat, path: str, space: Space) -> Any:
    if not isinstance(node.times, Choice):
        return tuple(_annotate(node.body, f"{path}#{i}", space) for i in range(node.times))
    times = tuple(int(t) for t in node.times.options)
    decision = space.decision(node.times.name or _join(path, "times"))
    copies = tuple(_annotate(node.body, f"{path}#{i}", space) for i in range(max(times)))
    return RepeatNode(decision.index, decision.path, times, copies)


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def choices_in(value: Any) -> Iterator[ChoiceNode]:
    """Every choice below a value that is not inside an operator, in order."""
    if isinstance(value, ChoiceNode):
        yield value
        for option in value.options:
            yield from choices_in(option)
    elif isinstance(value, tuple):
        for item in value:
            yield from choices_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from choices_in(item)
    elif is_dataclass(value) and not isinstance(value, type | Operator | RepeatNode):
        for f in fields(value):
            yield from choices_in(getattr(value, f.name))


def _holds_operator(value: Any) -> bool:
    if isinstance(value, Operator | RepeatNode):
        return True
    if isinstance(value, ChoiceNode):
        return any(_holds_operator(o) for o in value.options)
    if isinstance(value, tuple):
        return any(_holds_operator(item) for item in value)
    if isinstance(value, Mapping):
        return any(_holds_operator(item) for item in value.values())
    return False


def _picks_several(value: Any) -> bool:
    """Whether a choice is between tuples of operators, as of `subset`: a flow that reads them needs the one chosen."""
    return isinstance(value, ChoiceNode) and any(isinstance(option, tuple) for option in value.options)


@dataclass(frozen=True, eq=False)
class Held:
    """The choices that an operator's own fields hold: decision -> its node, and field -> the decisions in it."""

    nodes: Mapping[int, ChoiceNode]
    by_field: Mapping[str, tuple[int, ...]]


def held_choices(operator: Operator) -> Held:
    """Choices in an operator's fields that decide a value, not a part (those are walked through)."""
    nodes: dict[int, ChoiceNode] = {}
    by_field: dict[str, tuple[int, ...]] = {}
    for f in fields(operator):
        value = getattr(operator, f.name)
        if isinstance(operator, Composite) and _holds_operator(value) and not _picks_several(value):
            continue
        found = {n.decision: n for n in choices_in(value)}
        if found:
            nodes |= found
            by_field[f.name] = tuple(found)
    return Held(nodes, by_field)


def resolve(value: Any, code: Mapping[int, int]) -> Any:
    """Replace choices by the options that `code` (decision -> option) names; others stay."""
    if isinstance(value, ChoiceNode):
        return resolve(value.options[code[value.decision]], code) if value.decision in code else value
    if isinstance(value, tuple):
        return tuple(resolve(item, code) for item in value)
    if isinstance(value, Mapping):
        return {key: resolve(item, code) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type | Operator | RepeatNode):
        return replace(value, **{f.name: resolve(getattr(value, f.name), code) for f in fields(value) if f.init})
    return value


def resolve_fields(operator: Operator, held: Held, code: Mapping[int, int]) -> Any:
    """A copy of the operator with its own choices resolved; its site is kept."""
    if not held.nodes:
        return operator
    changed = {name: resolve(getattr(operator, name), code) for name in held.by_field}
    copy = replace(operator, **changed)
    object.__setattr__(copy, "site", operator.site)
    return copy


def variants(nodes: Sequence[ChoiceNode], limit: int = 4096) -> Iterator[dict[int, int]]:
    """Every joint setting of some choices: decision -> option.

    Raises:
        SpaceError: if there are more than `limit`.
    """
    total = 1
    for node in nodes:
        total *= len(node.options)
    if total > limit:
        raise SpaceError(
            f"{total} settings of the choices {[n.path for n in nodes]} would each need weights of their own "
            f"(at most {limit}); make ordered ones elastic, or move them into separate operators"
        )
    for codes in product(*(range(len(n.options)) for n in nodes)):
        yield dict(zip((n.decision for n in nodes), codes, strict=True))


class Walker(ABC):
    """Sends values through an annotated tree. Subclasses say what happens at leaves and where the paths part."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Operator, Held]] = {}

    def held(self, operator: Operator) -> Held:
        """`held_choices`, once per operator."""
        known = self._held.get(id(operator))
        if known is None:
            known = self._held[id(operator)] = (operator, held_choices(operator))
        return known[1]

    def run(self, part: Any, *values: Any) -> Any:
        """Send values through one part: the `run` that a composite's `flow` is given."""
        if isinstance(part, Leaf):
            return self.leaf(part, values)
        if isinstance(part, ChoiceNode):
            return self.choice(part, values)
        if isinstance(part, RepeatNode):
            return self.repeat(part, values)
        if isinstance(part, tuple):
            for item in part:
                values = (self.run(item, *values),)
            return values[0]
        if isinstance(part, Composite):
            return self.composite(part, values)
        raise SpaceError(f"expected an operator, got {part!r} ({type(part).__name__}); a network is made of operators")

    def composite(self, part: Composite, values: tuple[Any, ...]) -> Any:
        """Run a composite's flow; where fields of its own are undecided, `decide` splits the way."""
        held = self.held(part)
        return self.decide(part, held, values) if held.nodes else part.flow(self.run, *values)

    @abstractmethod
    def leaf(self, leaf: Leaf, values: tuple[Any, ...]) -> Any:
        """Pass a leaf whose fields may hold choices."""

    @abstractmethod
    def choice(self, node: ChoiceNode, values: tuple[Any, ...]) -> Any:
        """Pass a choice between parts."""

    @abstractmethod
    def repeat(self, node: RepeatNode, values: tuple[Any, ...]) -> Any:
        """Pass a chain whose length is a decision."""

    @abstractmethod
    def decide(self, part: Composite, held: Held, values: tuple[Any, ...]) -> Any:
        """Pass a composite whose wiring is a decision."""


class OneWalker(Walker):
    """Follows one architecture: every choice is taken by its code."""

    def __init__(self, code: Sequence[int] | None = None) -> None:
        super().__init__()
        self._code: dict[int, int] = {} if code is None else {j: int(c) for j, c in enumerate(code)}

    def leaf(self, leaf: Leaf, values: tuple[Any, ...]) -> Any:
        """Resolve the leaf's fields and pass on to `plain_leaf`."""
        return self.plain_leaf(resolve_fields(leaf, self.held(leaf), self._code), values)

    @abstractmethod
    def plain_leaf(self, leaf: Leaf, values: tuple[Any, ...]) -> Any:
        """Pass a leaf without choices."""

    def choice(self, node: ChoiceNode, values: tuple[Any, ...]) -> Any:
        """Take the option that the code names."""
        return self.run(node.options[self._code[node.decision]], *values)

    def repeat(self, node: RepeatNode, values: tuple[Any, ...]) -> Any:
        """Take the first copies."""
        return self.run(node.copies[: node.times[self._code[node.decision]]], *values)

    def decide(self, part: Composite, held: Held, values: tuple[Any, ...]) -> Any:
        """Resolve the composite's own fields."""
        return resolve_fields(part, held, self._code).flow(self.run, *values)
