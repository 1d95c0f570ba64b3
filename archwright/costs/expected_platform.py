"""Expected cost where the platform is searched too: differentiable in the probabilities of its numbers as well.

Decisions of the platform are independent of those of the network, so the cost of every row is averaged over all joint
settings of the platform first, and the network's decisions are summed as ever (`expected.py`). Exact; the settings are
listed, so there is a bound on how many there may be. Joint limits of the space are not part of the expectation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.costs.expected import compile_sites, contract, given
from archwright.costs.kernels import kernels_of
from archwright.costs.platform_cost import kernels_as_column, platform_arrays, rows_of_platform
from archwright.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from archwright.costs.platform_cost import PlatformCost
    from archwright.space import Decision, Space

SETTINGS = 4096  # joint settings of a platform, or of a decoder and its deployment


def expected_on_platforms(cost: PlatformCost, root: Any, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Metric -> scalar tensor, the area included.

    Raises:
        ConfigurationError: if a decision has no probabilities, or the platform has too many settings.
    """
    space = cost.space
    own = [d for d in space.decisions if d.path == "platform" or d.path.startswith(("platform.", "platform|"))]
    if "_settings" not in cost.__dict__:
        cost.__dict__["_settings"] = _tables(cost, root, own)
    sites, tables, area = cost.__dict__["_settings"]
    totals = contract(space, sites, average(tables, own, probabilities), probabilities)
    return totals | average({"area_mm2": area}, own, probabilities)


def average(
    tables: Mapping[str, np.ndarray], own: Sequence[Decision], probabilities: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Mean of values (..., settings) over independent decisions, settings in the order of `settings_of`."""
    import torch

    weights = torch.ones((), dtype=next(iter(probabilities.values())).dtype)
    for d in own:
        weights = weights[..., None] * given(probabilities, d.path)
    weights = weights.reshape(-1)
    return {m: torch.as_tensor(v, dtype=weights.dtype, device=weights.device) @ weights for m, v in tables.items()}


def settings_of(space: Space, own: Sequence[Decision]) -> np.ndarray:
    """Codes of every joint setting of some decisions, (settings, decisions), the others at their first option.

    Raises:
        ConfigurationError: if there are too many.
    """
    sizes = [d.size for d in own]
    many = int(np.prod(sizes, dtype=np.float64))
    if many > SETTINGS:
        raise ConfigurationError(
            f"an expected cost lists every joint setting, at most {SETTINGS}; this space has {many:,}: "
            "leave fewer choices, or search it with a strategy instead of gradients"
        )
    codes = np.tile(np.maximum(np.asarray(space.smallest().code), 0), (many, 1))
    codes[:, [d.index for d in own]] = np.array(list(product(*(range(s) for s in sizes))), dtype=codes.dtype)
    return codes


def _tables(cost: PlatformCost, root: Any, own: Sequence[Decision]) -> tuple[Any, dict[str, np.ndarray], np.ndarray]:
    """Sites, metric -> cost of every row on every setting (rows, settings), and the settings' areas."""
    space, codes = cost.space, settings_of(cost.space, own)
    many = len(codes)
    platform = platform_arrays(space, codes)
    cost.check(platform)
    sites = compile_sites(space, root, cost.input_shapes)
    kernels, setting = kernels_of(sites.rows), rows_of_platform(platform, slice(None))
    tables = {}
    for metric, values in cost.kernel_costs(kernels_as_column(kernels), setting).items():
        table = np.zeros((len(sites.rows), many))
        np.add.at(table, kernels.owner, np.broadcast_to(values, (len(kernels), many)))
        tables[metric] = table
    area = np.broadcast_to(np.asarray(cost.area_mm2(setting), dtype=np.float64).reshape(-1), (many,)).copy()
    return sites, tables, area
