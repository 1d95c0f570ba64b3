"""A network layer by layer: named axes in and out, broadcast axes, parameters and multiply-accumulates.

`describe` gives the steps, `as_text` prints them for a terminal, `archwright.report.drawing` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from archwright.export.naming import passes_first, places
from archwright.nets.build import Network, program_of
from archwright.nets.program import Program
from archwright.operators.base import Leaf, Shape
from archwright.report.axes import Axis, actions, name_axes
from archwright.report.words import short_number

if TYPE_CHECKING:
    from archwright.space import Architecture


@dataclass(frozen=True)
class DescribedStep:
    """One layer at work.

    `inputs` and `output` number values; values below the number of network inputs are those inputs. `broadcast` are
    the axes whose positions are all treated alike and apart, `separate` those treated apart but each in its own way.
    `stage` and `block` are -1 outside of repeats; layers with one `group` form one block.
    """

    name: str
    kind: str
    family: str
    arguments: str
    site: str
    stage: int
    block: int
    group: str
    inputs: tuple[int, ...]
    output: int
    axes_in: tuple[tuple[Axis, ...], ...]
    axes_out: tuple[Axis, ...]
    broadcast: tuple[str, ...]
    separate: tuple[str, ...]
    params: int
    macs: int
    activation_bytes: int
    signature: str  # equal for layers with equal description and shapes


@dataclass(frozen=True)
class Description:
    """All layers of a network with its inputs and its result."""

    inputs: tuple[tuple[Axis, ...], ...]
    steps: tuple[DescribedStep, ...]
    result: int

    @property
    def params(self) -> int:
        """Parameters of all layers; a layer that is used twice counts once."""
        return sum({s.name: s.params for s in self.steps}.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers for one sample."""
        return sum(s.macs for s in self.steps)


def describe(target: Architecture | Network | Program | Any, *input_shapes: Shape) -> Description:
    """Describe a network.

    Args:
        target: an architecture, a tree without choices, a network, or its program.
        input_shapes: of each input without the batch axis; not needed for a network or a program.

    Raises:
        SpaceError: if there is no network, or its parts do not fit.
    """
    if isinstance(target, Network):
        program = target.program
    elif isinstance(target, Program):
        program = target
    else:
        program = program_of(target, *input_shapes)
    axes, where = name_axes(program), places(program)
    steps = []
    for step in program.steps:
        place, counts = where[step.name], step.leaf.counts(*step.input_shapes)
        how = dict(zip((a.name for a in axes[step.output]), actions(step.leaf, step.input_shapes), strict=True))
        steps.append(
            DescribedStep(
                name=place.name,
                kind=type(step.leaf).__name__,
                family=family_of(step.leaf),
                arguments=arguments_of(step.leaf),
                site=step.leaf.site,
                stage=place.stage,
                block=place.block,
                group=place.group,
                inputs=step.inputs[:1] if passes_first(step) else step.inputs,
                output=step.output,
                axes_in=tuple(axes[n] for n in step.inputs),
                axes_out=axes[step.output],
                broadcast=tuple(name for name, action in how.items() if action == "broadcast"),
                separate=tuple(name for name, action in how.items() if action == "separate"),
                params=counts.params,
                macs=counts.macs,
                activation_bytes=counts.activation_bytes,
                signature=f"{step.leaf!r}{step.input_shapes}{step.shape}",
            )
        )
    inputs = tuple(axes[n] for n in range(len(program.input_shapes)))
    return Description(inputs, tuple(steps), program.result)


def family_of(leaf: Leaf) -> str:
    """The family under which a leaf's file is registered, `other` for a user's own."""
    from archwright import registry

    found = [e for e in registry.entries("operators").values() if e.module == type(leaf).__module__]
    own = [e for e in found if e.name.replace("_", "") == type(leaf).__name__.lower()] or found
    return str(own[0].labels.get("family", "other")) if own else "other"


def arguments_of(operator: Leaf) -> str:
    """The fields that differ from their defaults, as `channels=16, kernel=5`."""
    out = []
    for f in fields(operator):
        value = getattr(operator, f.name)
        default = (
            f.default if f.default is not MISSING else f.default_factory() if callable(f.default_factory) else None
        )
        if (f.default is MISSING and f.default_factory is MISSING) or value != default:
            out.append(f"{f.name}={value:g}" if isinstance(value, float) else f"{f.name}={value}")
    return ", ".join(out)


def axes_text(axes: Sequence[Axis]) -> str:
    """Axes as `channels 16 × height 8 × width 8`."""
    return " × ".join(f"{a.name} {a.size}" for a in axes)


def as_text(description: Description, width: int | None = None) -> str:
    """The layers as a table for a terminal; columns are cut to `width` characters if it is given."""
    header = ("layer", "operator", "in", "out", "broadcast over", "params", "MACs")
    rows = [header]
    for s in description.steps:
        rows.append(
            (
                s.name,
                f"{s.kind}({s.arguments})",
                " + ".join(axes_text(a) for a in s.axes_in),
                axes_text(s.axes_out),
                ", ".join(s.broadcast) or "-",
                short_number(s.params),
                short_number(s.macs),
            )
        )
    rows.append(("total", "", "", "", "", short_number(description.params), short_number(description.macs)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if i >= 5 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        lines.append(line if width is None or len(line) <= width else line[: width - 1] + "…")
    lines.insert(1, "-" * min(width or 10**9, max(map(len, lines))))
    return "\n".join(lines)
