"""Choices: what stands in a tree where a network is not yet decided.

Every function returns a marker object but is typed as the value it stands for, so that editors and mypy see the type of
the field: `Conv(kernel=oneof(3, 5))`. The idea of a space as an expression with holes is PyGlove's (Peng et al., 2020,
"PyGlove: Symbolic Programming for Automated Machine Learning", section 3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from archwright.errors import SpaceError

T = TypeVar("T")
N = TypeVar("N", int, float)

MAX_OPTIONS = 32767  # codes are int16
MAX_COPIES = 10_000  # of a repeat; each has decisions of its own


@dataclass(frozen=True, eq=False)
class Choice:
    """One of several options. `ordered`: neighbours in the order are similar, and elastic slicing is allowed."""

    options: tuple[Any, ...]
    ordered: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple) or not 1 <= len(self.options) <= MAX_OPTIONS:
            raise SpaceError(f"a choice needs a tuple of 1 to {MAX_OPTIONS} options, got {_short(self.options)}")
        if self.name is not None and (not isinstance(self.name, str) or not self.name):
            raise SpaceError(f"the name of a choice is a non-empty string, got {self.name!r}")
        self._reject_equal_options()

    def _reject_equal_options(self) -> None:
        from archwright.space.canonical import canonical_text

        seen: dict[str, int] = {}
        for k, option in enumerate(self.options):
            first = seen.setdefault(canonical_text(option), k)
            if first != k:
                label = f"the choice {self.name!r}" if self.name else "a choice"
                raise SpaceError(f"the options of {label} must differ, but options {first} and {k} are both {option!r}")

    def __repr__(self) -> str:
        end = f", name={self.name!r}" if self.name else ""
        if len(self.options) > 8:
            shown = ", ".join(map(repr, self.options[:3]))
            return f"oneof({shown}, ... {len(self.options)} options{end})"
        return f"oneof({', '.join(map(repr, self.options))}{end})"


@dataclass(frozen=True, eq=False)
class Repeat:
    """A tuple of copies of a body; each copy has decisions of its own."""

    body: Any
    times: int | Choice

    def __post_init__(self) -> None:
        counts = self.times.options if isinstance(self.times, Choice) else (self.times,)
        if not all(type(c) is int and 0 <= c <= MAX_COPIES for c in counts):
            raise SpaceError(
                f"repeat needs times as an int from 0 to {MAX_COPIES} or a choice of such ints, got {self.times!r}"
            )
        if isinstance(self.times, Choice) and not self.times.ordered:
            raise SpaceError(
                f"repeat needs an ordered choice of times, got {self.times!r}; list them in increasing order"
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Possible numbers of copies."""
        return self.times.options if isinstance(self.times, Choice) else (self.times,)

    def __repr__(self) -> str:
        return f"repeat({self.body!r}, {self.times!r})"


def oneof(*options: T, name: str | None = None) -> T:
    """One of the options; numbers in increasing order make an ordered choice.

    Options may hold choices themselves; these exist only where the option is taken. Choices of the same name anywhere
    in a space are one decision.

    Raises:
        SpaceError: if there is no option, or two are equal.
    """
    return cast(T, Choice(tuple(options), _increasing(options), name))


def between(low: N, high: N, step: N = 1, name: str | None = None) -> N:
    """An ordered choice of low, low + step, ..., at most high.

    Raises:
        SpaceError: if the range is empty or a bound is not a finite number.
    """
    numbers = (low, high, step)
    if not all(_is_number(x) for x in numbers) or step <= 0 or high < low:
        raise SpaceError(f"between needs numbers low <= high and step > 0, got low={low}, high={high}, step={step}")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > MAX_OPTIONS:
        raise SpaceError(
            f"between({low}, {high}, {step}) has {count} values, at most {MAX_OPTIONS} fit; use a larger step"
        )
    return cast(N, Choice(tuple(low + i * step for i in range(count)), True, name))


def geometric(low: N, high: N, n: int, name: str | None = None) -> N:
    """An ordered choice of n values from low to high in equal ratios; rounded to ints if both ends are ints.

    Raises:
        SpaceError: if the ends are not positive and increasing, or rounding makes two values equal.
    """
    if not (_is_number(low) and _is_number(high)) or not 0 < low < high or type(n) is not int or n < 2:
        raise SpaceError(f"geometric needs numbers 0 < low < high and an int n >= 2, got low={low}, high={high}, n={n}")
    ratio = math.log(high / low) / (n - 1)
    values: list[Any] = [low * math.exp(ratio * i) for i in range(n)]
    values[0], values[-1] = low, high  # free of rounding
    if type(low) is int and type(high) is int:
        values = [round(v) for v in values]
    if len(set(values)) < n:
        raise SpaceError(
            f"geometric({low}, {high}, n={n}) has only {len(set(values))} different ints; use that n or between"
        )
    return cast(N, Choice(tuple(values), True, name))


def subset(options: Sequence[T], size: int | Iterable[int], name: str | None = None) -> tuple[T, ...]:
    """Some of the options, in their order, as one decision over all combinations.

    Args:
        options: what to take from; without choices inside.
        size: how many to take: an int, several ints, or a choice of ints.
        name: shares the decision with every choice of this name.

    Raises:
        SpaceError: if a size does not fit, an option holds a choice, or there are too many combinations.
    """
    items = tuple(options)
    sizes = _sizes(size)
    if not sizes or not all(type(s) is int and 0 <= s <= len(items) for s in sizes) or len(set(sizes)) < len(sizes):
        raise SpaceError(f"subset of {len(items)} options needs different sizes from 0 to {len(items)}, got {size!r}")
    if any(holds_choice(item) for item in items):
        raise SpaceError("options of subset hold no choices; use oneof with a none option for each item instead")
    count = sum(math.comb(len(items), s) for s in sizes)
    if count > MAX_OPTIONS:
        raise SpaceError(
            f"subset of {len(items)} options with sizes {list(sizes)} has {count} combinations, at most {MAX_OPTIONS} "
            f"fit in one decision; use one oneof(True, False) for each option"
        )
    combinations = tuple(c for s in sizes for c in itertools.combinations(items, s))
    return cast("tuple[T, ...]", Choice(combinations, False, name))


def repeat(body: T, times: int) -> tuple[T, ...]:
    """A tuple of copies of body; each copy has decisions of its own, but for named ones.

    Args:
        body: what to copy.
        times: an int, or an ordered choice of ints (such as `between(2, 4)`).

    Raises:
        SpaceError: if times is neither.
    """
    return cast("tuple[T, ...]", Repeat(body, times))


def holds_choice(tree: Any) -> bool:
    """Whether a tree has a choice or a repeat anywhere inside."""
    return any(True for _ in instances(tree, (Choice, Repeat)))


def instances(tree: Any, kinds: type | tuple[type, ...]) -> Iterator[Any]:
    """Every value of some classes in a tree, outer ones first, also those within each other and within choices."""
    from archwright.space.canonical import parts_of

    if isinstance(tree, kinds):
        yield tree
    if isinstance(tree, Choice):
        inner = tree.options
    elif isinstance(tree, Repeat):
        inner = (tree.body, tree.times)
    else:
        group = parts_of(tree)
        inner = () if group is None else group[2]
    for part in inner:
        yield from instances(part, kinds)


def _sizes(size: object) -> tuple[Any, ...]:
    if isinstance(size, Choice):
        return size.options
    return tuple(size) if isinstance(size, Iterable) else (size,)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast(float, value))


def _increasing(options: Sequence[Any]) -> bool:
    return all(_is_number(o) for o in options) and all(a < b for a, b in itertools.pairwise(options))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
