"""Several operators on the same input, joined by sum, concatenation or product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.activation import Activation
from archwright.operators.base import Composite, Example, Leaf, Run
from archwright.operators.conv import Conv
from archwright.operators.join import Add, ConcatJoin, Mul
from archwright.operators.linear import Linear
from archwright.operators.pool import MaxPool
from archwright.operators.sequential import Sequential, flat
from archwright.operators.skip import Skip
from archwright.registry import register


@dataclass(frozen=True)
class _Branches(Composite):
    """What the three share: every branch gets all inputs."""

    branches: tuple[Any, ...]

    def _join(self) -> Leaf:
        raise NotImplementedError

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Run the branches, then join; one branch needs no join."""
        if not isinstance(self.branches, tuple | list):
            raise SpaceError(f"{type(self).__name__} needs a tuple of branches, got {self.branches!r}")
        values = [run(branch, *inputs) for branch in flat(self.branches)]
        if not values:
            raise SpaceError(f"{type(self).__name__} needs at least one branch, got none")
        return values[0] if len(values) == 1 else run(self.inner("join", self._join()), *values)


@register("operators", "sum", labels={"family": "composite"})
@dataclass(frozen=True)
class Sum(_Branches):
    """Sum of the branches; all must give one shape."""

    def _join(self) -> Leaf:
        return Add()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Three branches and one."""
        return [(cls((Conv(4), MaxPool(), Skip())), ((4, 6, 6),)), (cls((Conv(4),)), ((3, 6, 6),))]


@register("operators", "concat", labels={"family": "composite"})
@dataclass(frozen=True)
class Concat(_Branches):
    """Branches side by side; `axis` 0 are the channels of images and series, -1 the features of tokens."""

    axis: int = 0

    def _join(self) -> Leaf:
        return ConcatJoin(self.axis)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Channels and features."""
        return [(cls((Conv(4), Conv(2, kernel=1))), ((3, 6, 6),)), (cls((Linear(4), Linear(3)), axis=-1), ((5, 3),))]


@register("operators", "multiply", labels={"family": "composite"})
@dataclass(frozen=True)
class Multiply(_Branches):
    """Product of the branches, the multiplicative join of gates and polynomial networks (Chrysos et al., 2025).

    A branch that ends in a sigmoid is a gate (Dauphin et al., 2017); plain linear branches give a polynomial whose
    degree is their number (Chrysos et al., 2020).
    """

    def _join(self) -> Leaf:
        return Mul()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A gate and a polynomial of degree three."""
        gate = Sequential((Conv(4, kernel=1, norm="none", activation="identity"), Activation("sigmoid")))
        return [(cls((Conv(4), gate)), ((3, 6, 6),)), (cls((Linear(4), Linear(4), Linear(4))), ((6,),))]
