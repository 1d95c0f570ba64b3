"""Readable names for the layers of an exported network.

A program names its layers by their site, which is exact and ugly (`parts_2_0_body_1`). Source code and drawings say
`stage1_block0`. Names follow from the sites and types alone, so that the same architecture always gets the same names.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from archwright.nets.program import Program, Step
from archwright.operators.residual import First

# field names that say where a part hangs, not what it is
_GENERIC = {"", "body", "edges", "items", "layers", "network", "nodes", "operators", "ops", "options", "parts", "value"}
_TAKEN = {"training", "forward", "modules", "children", "parameters", "buffers", "register", "type", "half", "float"}


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its attribute name, and the stage and block it belongs to (-1: to none).

    A stage is one `repeat`, a block one copy of it; layers of one composite outside any repeat share a block.
    """

    name: str
    stage: int = -1
    block: int = -1
    group: str = ""  # layers of one block have one group


def passes_first(step: Step) -> bool:
    """Whether a layer hands on its first input unchanged, so that it needs no statement."""
    cls = step.leaf.layer(*step.input_shapes).cls
    return cls is nn.Identity or cls is First


def snake(name: str) -> str:
    """A class name in lower case with underscores: `GlobalPool` becomes `global_pool`, `MBConv` `mbconv`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def places(program: Program) -> dict[str, Place]:
    """Step name -> place, in the order of the steps; every attribute name is a valid, unique Python name."""
    steps = list({step.name: step for step in program.steps}.values())
    sizes = Counter(_top(step.leaf.site) for step in steps)
    stages: dict[str, int] = {}
    blocks: dict[str, int] = {}
    found = []
    for step in steps:
        found.append(_place(step, stages, blocks, sizes))
    names = _unique([place.name for place in _suffixed(steps, found)])
    return {
        step.name: Place(name, place.stage, place.block, place.group)
        for step, place, name in zip(steps, found, names, strict=True)
    }


def _top(site: str) -> str:
    """The part of a site up to and including its first index."""
    match = re.match(r".*?(\.\d+|^\d+)(?=$|[.|#])", site)
    return match[0] if match else site


def _place(step: Step, stages: dict[str, int], blocks: dict[str, int], sizes: Counter[str]) -> Place:
    site = step.leaf.site
    repeated = re.match(r"(.*?)#(\d+)", site)
    if repeated:
        stage = stages.setdefault(repeated[1], len(stages) + 1)
        block = int(repeated[2])
        return Place(f"stage{stage}_block{block}", stage, block, repeated[0])
    top = _top(site)
    if site and site != top and sizes[top] > 1:
        number = blocks.setdefault(top, len(blocks) + 1)
        return Place(f"block{number}", -1, number, top)
    return Place("", -1, -1, "")


def _suffixed(steps: Sequence[Step], found: Sequence[Place]) -> list[Place]:
    """Add the layer's own word where a block has several layers or there is no block."""
    members = Counter(place.group for place in found)
    out = []
    for step, place in zip(steps, found, strict=True):
        if place.name and members[place.group] == 1:
            out.append(place)
        else:
            out.append(Place("_".join(filter(None, [place.name, _word(step)])), place.stage, place.block, place.group))
    return out


def _word(step: Step) -> str:
    """The field that holds the leaf if its name says something, else the leaf's type."""
    last = re.sub(r"[#|]\d+", "", step.leaf.site).split(".")[-1]
    word = last if last.isidentifier() and last not in _GENERIC else snake(type(step.leaf).__name__)
    return f"{word}_layer" if keyword.iskeyword(word) or word in _TAKEN else word


def _unique(names: Sequence[str]) -> list[str]:
    """Number what occurs more than once: conv1, conv2."""
    total, seen = Counter(names), Counter[str]()
    taken = {name for name, count in total.items() if count == 1}
    out = []
    for name in names:
        if total[name] > 1:
            while True:
                seen[name] += 1
                candidate = f"{name}{'_' if name[-1].isdigit() else ''}{seen[name]}"
                if candidate not in taken:
                    break
            taken.add(candidate)
            name = candidate
        out.append(name)
    return out
