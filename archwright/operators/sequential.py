"""One part after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archwright.operators.activation import Activation
from archwright.operators.base import Composite, Example, Run
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.registry import register


def flat(parts: Any) -> Iterator[Any]:
    """The parts of nested tuples, in order; a `repeat` leaves such tuples behind."""
    if isinstance(parts, tuple | list):
        for part in parts:
            yield from flat(part)
    else:
        yield parts


@register("operators", "sequential", labels={"family": "composite"})
@dataclass(frozen=True)
class Sequential(Composite):
    """Parts in a row; nested tuples are flattened, and a part may be a choice or a repeat."""

    parts: tuple[Any, ...]

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Pass each part's output on; the first part gets all inputs."""
        for part in flat(self.parts):
            inputs = (run(part, *inputs),)
        return inputs[0]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A small network with nested parts."""
        body = (Conv(6), (Conv(6), Activation("silu")), Classifier(3))
        return [(cls(body), ((3, 8, 8),))]
