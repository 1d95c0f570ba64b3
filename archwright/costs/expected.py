"""Expected cost under independent decisions: exact, and differentiable in the probabilities.

Which row runs at a site depends on a few decisions only: those in the leaf's fields, those that fix its input shapes,
and those that bring it onto the path. `compile_sites` finds them once and stores, for each site, the row at every joint
setting. The expectation is then one small tensor contraction a site (FBNet, Wu et al., 2019, equation 3, generalised
from one choice a layer to any space).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.costs.workload import OperatorRows
from archwright.errors import ConfigurationError, nearest
from archwright.operators.base import Shape
from archwright.operators.grids import Grid, GridWalker

if TYPE_CHECKING:
    from torch import Tensor

    from archwright.costs.base import AdditiveCost
    from archwright.space import Space


@dataclass(frozen=True, eq=False)
class Sites:
    """Rows of a space, and for each site the row at every joint setting of the decisions that matter there."""

    rows: OperatorRows
    grids: tuple[Grid, ...]


def compile_sites(space: Space, root: Any, input_shapes: Sequence[Shape]) -> Sites:
    """Find the decisions that matter at every site.

    Raises:
        SpaceError: if one site depends on too many decisions at once.
    """
    walker = GridWalker({d.index: len(d.options) for d in space.decisions})
    walker.run(root, *(Grid((), np.array(walker.number(tuple(shape)))) for shape in input_shapes))
    leaves, inputs, outputs = zip(*walker.table, strict=True)
    return Sites(OperatorRows(leaves, inputs, outputs), tuple(walker.sites))


def expected(cost: AdditiveCost, root: Any, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """See `AdditiveCost.expected`.

    Raises:
        ConfigurationError: if a decision that matters has no probabilities.
    """
    import torch

    if "_sites" not in cost.__dict__:
        sites = compile_sites(cost.space, root, cost.input_shapes)
        cost.__dict__["_sites"] = sites, cost.row_costs(sites.rows)
    sites, costs = cost.__dict__["_sites"]
    some = next(iter(probabilities.values()))
    tables = {m: torch.as_tensor(v, dtype=some.dtype, device=some.device) for m, v in costs.items()}
    return contract(cost.space, sites, tables, probabilities)


def contract(
    space: Space, sites: Sites, costs: Mapping[str, Tensor], probabilities: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Expectation of costs per row, (rows,), over the decisions that bring a row to each site.

    Raises:
        ConfigurationError: if a decision that matters has no probabilities.
    """
    import torch

    paths = {d.index: d.path for d in space.decisions}
    some = next(iter(probabilities.values()))
    padded = {m: torch.cat([v, v.new_zeros(1)]) for m, v in costs.items()}
    totals = {metric: torch.zeros((), dtype=some.dtype, device=some.device) for metric in costs}
    for grid in sites.grids:
        weights = torch.ones((), dtype=some.dtype, device=some.device)
        for decision in grid.decisions:
            weights = weights[..., None] * given(probabilities, paths[decision])
        ids = torch.as_tensor(grid.ids, device=some.device)
        for metric, values in padded.items():
            totals[metric] = totals[metric] + (weights * values[ids]).sum()
    return totals


def given(probabilities: Mapping[str, Tensor], path: str) -> Tensor:
    """The probabilities of a decision.

    Raises:
        ConfigurationError: if there are none.
    """
    if path not in probabilities:
        raise ConfigurationError(f"no probabilities for the decision {path!r}; {nearest(path, probabilities)}")
    return probabilities[path]
