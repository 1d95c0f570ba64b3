"""Progressive search: from stage to stage the supernet gets deeper and options go (P-DARTS)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.selections.base import Selection, admitted, legal_code, likeliest
from archwright.gradient.selections.darts_edges import DartsEdges, chances_of
from archwright.gradient.selections.edges import edge_groups, skip_options
from archwright.operators.cell_stack import CellStack
from archwright.operators.sequential import flat
from archwright.operators.skip_dropout import FadingDropout
from archwright.registry import register
from archwright.space import Architecture, Space
from archwright.space.choices import Choice, instances

if TYPE_CHECKING:
    from archwright.gradient.core import Core
    from archwright.gradient.search import GradientSearch


@register("selections", "depth_growth", labels={"trains": False})
@dataclass(frozen=True)
class DepthGrowth(Selection):
    """Stages of equal length: fewer options, more cells, more dropout behind skips (Chen et al., 2019, section 3).

    The searched space is the deepest stack. A stage has a share of the cells of its first kind between two others: 1/5,
    3/5 and all of 17 cells are the paper's 5, 11 and 17. Where a space is no stack of cells the depth stays, and where
    cells have no edges the likeliest options are taken. At the end each node keeps its strongest edges, and skips of
    the first kind of cell beyond `skips` are taken out, the weakest first (section 3.3).

    Attributes:
        keep: share of the options at each stage; the paper's 8, 5, 3 of 8.
        depth: share of the cells at each stage.
        dropout: probability behind skips of stride 1 at the start of each stage; it fades by exp(-0.2) an epoch.
        skips: in the final cell of the first kind, at most; None sets no limit.
        edges: kept for each node.
        inherit: take weights and architecture parameters over into the next stage. The paper trains them anew, which
            needs epochs enough in every stage.
    """

    keep: tuple[float, ...] = (1.0, 0.625, 0.375)
    depth: tuple[float, ...] = (0.2, 0.6, 1.0)
    dropout: tuple[float, ...] = (0.0, 0.4, 0.7)
    skips: int | None = 2
    edges: int = 2
    inherit: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.keep), len(self.depth), len(self.dropout)}
        shares = all(0.0 < s <= 1.0 for s in (*self.keep, *self.depth))
        falling = all(a >= b for a, b in zip(self.keep, self.keep[1:], strict=False))
        rates = all(0.0 <= r < 1.0 for r in self.dropout)
        if len(lengths) != 1 or 0 in lengths or not shares or not rates or not falling or self.depth[-1] != 1.0:
            raise ConfigurationError(
                "depth growth needs for each stage a share of the options in (0, 1] that does not grow, a share of the "
                "cells in (0, 1], at last 1, and a rate of dropout in [0, 1), got "
                f"keep={self.keep}, depth={self.depth}, dropout={self.dropout}"
            )

    def check(self, relaxation: Relaxation) -> None:
        """Something must be learned, or the weakest would be any."""
        if not relaxation.learned:
            raise ConfigurationError(
                f"the selection 'depth_growth' cannot be used with {type(relaxation).__name__}, which learns no ranking"
            )

    # ---- stages ---------------------------------------------------------------------------------------------------

    @property
    def starts(self) -> tuple[float, ...]:
        """Stages are equally long."""
        return tuple(i / len(self.keep) for i in range(len(self.keep)))

    def supernet_space(self, space: Space, stage: int) -> Space:
        """The stack with fewer cells, and dropout behind its skips."""
        if not isinstance(space.tree, CellStack):
            return space
        cells = kept_cells(space, self.depth[stage])
        tree = replace(space.tree, cells=tuple(cells.values()), auxiliary_after=2 * len(cells) // 3)
        grown = Space(_with_dropout(tree, self.dropout[stage]), (*space.tables, *space.predicates))
        same = [(d.name, d.size) for d in grown.decisions] == [(d.name, d.size) for d in space.decisions]
        return grown if same else space  # a kind of cell would be gone

    def before_epoch(self, search: GradientSearch) -> None:
        """Dropout fades within a stage; it falls linearly while only weights are trained."""
        begin, length = search.method.stage_span(search.stage)
        epoch, warmup = search.epoch - begin, search.method.warmup
        left = (length - epoch - 1) / length if epoch < warmup else math.exp(-0.2 * (epoch - warmup))
        for module in search.core.supernet.modules():
            if isinstance(module, FadingDropout):
                module.left.fill_(left)

    def carry(self, old: Core, new: Core, stage: int) -> None:
        """Remove the weakest options; hand over what has the same place and shape, if asked to."""
        for d, chances in enumerate(old.probabilities(detach=True).values()):
            left = old.left(d)
            wanted = max(1, round(self.keep[stage] * len(chances)))
            strongest = sorted(left, key=chances.tolist().__getitem__, reverse=True)[: min(wanted, len(left))]
            new.block(d, [k for k in range(len(chances)) if k not in strongest])
        if self.inherit:
            before, after = (_places(old.space, self.depth[s]) for s in (stage - 1, stage))
            _inherit(old, new, before, after)

    # ---- the result -----------------------------------------------------------------------------------------------

    def choose(self, search: GradientSearch) -> Architecture:
        """The two-edges rule with few skips; the likeliest where cells have no edges or a budget forbids it."""
        try:
            groups = edge_groups(search.space)
        except ConfigurationError:
            return likeliest(search)
        rule, chances = DartsEdges(self.edges), chances_of(search)
        nones = {d: n for g in groups for d, n in zip(g.decisions, g.none, strict=True)}
        skips = {d: s for d, s in skip_options(search.space).items() if d in nones and d in _first_kind(search.space)}
        while True:
            code = rule.code(search, chances)
            taken = [d for d, options in skips.items() if int(code[d]) in options]
            if self.skips is None or len(taken) <= self.skips:
                break
            # an edge on which nothing else is left keeps its skip
            taken = [d for d in taken if np.delete(chances[d], [nones[d], code[d]]).max() > 0.0]
            if not taken:
                break
            weakest = min(taken, key=lambda d: float(chances[d][code[d]]))
            chances[weakest][code[weakest]] = 0.0
        code = legal_code(search.space, code)
        return search.space.architectures(code[None])[0] if admitted(search, code[None])[0] else likeliest(search)


# ---- stacks -------------------------------------------------------------------------------------------------------


def kept_cells(space: Space, share: float) -> dict[int, Any]:
    """Position in the whole stack -> cell, for a share of each run of cells of the first kind, one at least."""
    cells = list(flat(space.tree.cells))
    kinds = [_names(c) for c in cells]
    kept: dict[int, Any] = {}
    for kind, run in groupby(range(len(cells)), key=kinds.__getitem__):
        places = list(run)
        count = max(1, math.ceil(share * len(places) - 1e-9)) if kind == kinds[0] else len(places)
        kept.update({i: cells[i] for i in places[:count]})
    return kept


def _first_kind(space: Space) -> set[int]:
    """The decisions of the first cell."""
    if not isinstance(space.tree, CellStack):
        return {d.index for d in space.decisions}
    names = _names(next(iter(flat(space.tree.cells))))
    return {d.index for d in space.decisions if d.name in names}


def _names(tree: Any) -> set[str]:
    """Names of the choices in a tree."""
    return {choice.name for choice in instances(tree, Choice) if choice.name}


def _with_dropout(value: Any, rate: float) -> Any:
    """The tree with dropout behind its skips, where operators have a field for it."""
    if isinstance(value, tuple):
        return tuple(_with_dropout(v, rate) for v in value)
    if isinstance(value, Choice):
        return replace(value, options=_with_dropout(value.options, rate))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    found = {f.name: _with_dropout(getattr(value, f.name), rate) for f in fields(value) if f.init}
    return replace(value, **{**found, **({"skip_dropout": rate} if "skip_dropout" in found else {})})


@torch.no_grad()
def _inherit(old: Core, new: Core, before: Mapping[int, int], after: Mapping[int, int]) -> None:
    """Copy architecture parameters, and tensors of the same place in the whole stack that have the same shape.

    Args:
        old: of the stage that is over.
        new: of the next one.
        before: position in the old stack -> in the whole one.
        after: position in the new stack -> in the whole one.
    """
    for kind in ("alphas", "betas"):  # in the same order, under paths that depth may change
        for p, q in zip(getattr(old, kind).values(), getattr(new, kind).values(), strict=True):
            q.copy_(p)
    known = {_renamed(name, before): t for name, t in old.supernet.state_dict().items()}
    for name, tensor in new.supernet.state_dict().items():
        found = known.get(_renamed(name, after))
        if found is not None and found.shape == tensor.shape:
            tensor.copy_(found)


def _renamed(name: str, places: Mapping[int, int]) -> str:
    """A tensor's name with its cell's position in the whole stack."""
    return re.sub(r"^large\.cells_(\d+)_", lambda m: f"large.cells_{places.get(int(m[1]), int(m[1]))}_", name)


def _places(space: Space, share: float) -> dict[int, int]:
    return dict(enumerate(kept_cells(space, share))) if isinstance(space.tree, CellStack) else {}
