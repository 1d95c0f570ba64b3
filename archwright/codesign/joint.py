"""The joint space: networks of several tasks and the sub-accelerators that run them.

After NASAIC (Yang et al., DAC 2020): every sub-accelerator has a dataflow template, multipliers, a share of the
network on chip and a buffer. The tree is `{"tasks": {name: codes}, "accelerators": (...)}`; a task's network is written
as the option numbers of its own space's decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from archwright.costs import dataflow
from archwright.errors import ConfigurationError
from archwright.space import Space, oneof
from archwright.space.choices import Choice
from archwright.space.constraints import Constraint, constraint


@dataclass(frozen=True)
class Accelerator:
    """One sub-accelerator; fields may hold choices. pes 0 = it is left out."""

    template: Any = field(default_factory=lambda: oneof(*dataflow.TEMPLATES))
    pes: Any = field(default_factory=lambda: oneof(0, 64, 128, 256, 512, 1024, 2048))
    noc_gb_per_s: Any = field(default_factory=lambda: oneof(4, 8, 16, 32, 48))
    buffer_kb: Any = field(default_factory=lambda: oneof(32, 64, 128, 256, 512))


def codesign_space(tasks: Mapping[str, Space], accelerators: Sequence[Accelerator], **limits: float) -> Space:
    """All joint designs: for each task the option numbers of its space's decisions, and the sub-accelerators.

    Args:
        tasks: name -> space of its networks.
        accelerators: with choices.
        limits: `total_pes` and `total_noc_gb_per_s`, over all sub-accelerators.

    Raises:
        ConfigurationError: if there is no task or no accelerator.
    """
    if not tasks or not accelerators:
        raise ConfigurationError("a joint space needs at least one task and one sub-accelerator")
    networks = {
        name: tuple(oneof(*range(len(d.options))) if len(d.options) > 1 else 0 for d in space.decisions)
        for name, space in tasks.items()
    }
    space = Space({"tasks": networks, "accelerators": tuple(accelerators)})
    return space.where(*_limits(space, limits)) if limits else space


def _limits(space: Space, limits: Mapping[str, float]) -> list[Constraint]:
    """Some sub-accelerator is used, and those that are keep to each limit together."""
    fields_of = {"total_pes": ("pes",), "total_noc_gb_per_s": ("pes", "noc_gb_per_s")}
    unknown = set(limits) - set(fields_of)
    if unknown:
        raise ConfigurationError(f"joint limits are {', '.join(fields_of)}; got {sorted(unknown)[0]!r}")
    parts = space.tree["accelerators"]

    def within(names: tuple[str, ...], most: float, message: str) -> Constraint:
        places = [(k, name) for k in range(len(parts)) for name in names]
        free = [(k, n) for k, n in places if isinstance(getattr(parts[k], n), Choice)]
        paths = [getattr(parts[k], n).name or f"accelerators.{k}.{n}" for k, n in free]
        if not paths:
            raise ConfigurationError(f"{message} limits nothing: the sub-accelerators leave no choice of {names[-1]}")

        def rule(*options: Any) -> bool:
            chosen = dict(zip(free, options, strict=True))
            value = {(k, n): chosen.get((k, n), getattr(parts[k], n)) for k, n in places}
            used = [k for k in range(len(parts)) if value[k, "pes"]]
            return bool(used) and sum(value[k, names[-1]] for k in used) <= most

        return constraint(rule, *paths, message=f"{message} at most {most:g}")

    return [within(fields_of[name], most, name) for name, most in limits.items()]


def network_codes(space: Space, tasks: Mapping[str, Space], codes: np.ndarray, task: str) -> np.ndarray:
    """Codes of one task's networks in its own space, (n, its decisions), from joint codes (n, decisions)."""
    columns = []
    for i, choice in enumerate(space.tree["tasks"][task]):
        if isinstance(choice, Choice):
            columns.append(codes[:, space.decision(choice.name or f"tasks.{task}.{i}").index])
        else:
            columns.append(np.zeros(len(codes), dtype=codes.dtype))
    return tasks[task].canonical(np.stack(columns, axis=1))


def hardware_of(space: Space, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Field of `Accelerator` -> (n, accelerators), from joint codes (n, decisions)."""
    out: dict[str, list[np.ndarray]] = {}
    for k, part in enumerate(space.tree["accelerators"]):
        for name in (f.name for f in fields(Accelerator)):
            value = getattr(part, name)
            if isinstance(value, Choice):
                decision = space.decision(value.name or f"accelerators.{k}.{name}")
                column = np.array(value.options)[codes[:, decision.index]]
            else:
                column = np.full(len(codes), value)
            out.setdefault(name, []).append(column)
    return {name: np.stack(columns, axis=1) for name, columns in out.items()}


def described(space: Space, code: np.ndarray) -> list[str]:
    """The sub-accelerators of one design in words, without those that are left out."""
    parts = hardware_of(space, np.asarray(code)[None])
    return [
        f"{parts['template'][0, k]}, {pes} multipliers, {parts['noc_gb_per_s'][0, k]:g} GB/s on chip, "
        f"{parts['buffer_kb'][0, k]:g} KB"
        for k, pes in enumerate(parts["pes"][0])
        if pes
    ]
