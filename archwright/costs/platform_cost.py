"""Costs on a platform: kernels of operators times the numbers of a platform, fixed or part of the space.

A subclass writes `kernel_costs`. With a fixed platform the cost is an ordinary additive one. If the space's tree has a
`platform` beside its `network`, every architecture brings its own: kernels are costed on all distinct platforms of a
batch at once, (kernels, platforms), and gathered.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.kernels import Kernels, kernels_of
from archwright.costs.workload import OperatorRows, Workload
from archwright.errors import ConfigurationError
from archwright.operators.base import Shape
from archwright.platforms import Platform, load
from archwright.space import Architecture, Architectures, Space
from archwright.space.choices import Choice

if TYPE_CHECKING:
    from torch import Tensor

_CELLS = 1 << 21  # kernels x platforms at once


def platform_in(tree: Any) -> tuple[Any, str] | None:
    """The platform beside a network in a space's tree, and its path; None if there is none."""
    if isinstance(tree, Mapping):
        return (tree["platform"], "platform") if "platform" in tree else None
    return (tree.platform, "platform") if is_dataclass(tree) and hasattr(tree, "platform") else None


def platform_arrays(space: Space, codes: np.ndarray, node: Any = None, path: str = "platform") -> Platform:
    """The platform part of a batch: numbers that vary become float64 (n,), strings that vary arrays of strings.

    Raises:
        ConfigurationError: if the tree has no platform, or its options are of different kinds.
    """
    if node is None:
        found = platform_in(space.tree)
        if found is None:
            raise ConfigurationError(
                "expected a tree with a `platform` beside its `network`; pass platform=... instead"
            )
        node, path = found
    if isinstance(node, Choice):
        return _choice_of_platforms(space, codes, node, path)
    varied: dict[str, Any] = {}
    for part in fields(node):
        section = getattr(node, part.name)
        where = f"{path}.{part.name}"
        if is_dataclass(section) and not isinstance(section, type):
            values = {
                f.name: _column(space, codes, getattr(section, f.name), f"{where}.{f.name}")
                for f in fields(section)
                if isinstance(getattr(section, f.name), Choice)
            }
            varied[part.name] = replace(section, **values)
    return replace(node, **varied)


def _column(space: Space, codes: np.ndarray, choice: Choice, path: str) -> np.ndarray:
    decision = space.decision(choice.name or path)
    return np.array(choice.options)[codes[:, decision.index]]


def _choice_of_platforms(space: Space, codes: np.ndarray, node: Choice, path: str) -> Platform:
    decision = space.decision(node.name or path)
    parts = [platform_arrays(space, codes, option, f"{path}|{k}") for k, option in enumerate(node.options)]
    kinds = {p.kind for p in parts}
    if len(kinds) > 1:
        raise ConfigurationError(f"platforms in one choice must be of one kind, got {', '.join(sorted(kinds))}")
    at = codes[:, decision.index]
    return _merge(parts, at)


def _merge(parts: list[Any], at: np.ndarray) -> Any:
    first = parts[0]
    if is_dataclass(first) and not isinstance(first, type):
        if any(p is None for p in parts):
            raise ConfigurationError("platforms in one choice must have the same sections")
        return replace(first, **{f.name: _merge([getattr(p, f.name) for p in parts], at) for f in fields(first)})
    if all(isinstance(p, np.ndarray) is False and p == first for p in parts):
        return first
    if isinstance(first, tuple):
        return first
    values = [np.nan if p is None else p for p in parts]
    return np.choose(at, [np.broadcast_to(v, at.shape) for v in values])


class PlatformCost(AdditiveCost):
    """A cost of kernels on a platform.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input, without the batch axis.
        platform: name, file or value; None = the space's own.
        batch: samples at once; latencies and energies are of the batch.
    """

    metrics: ClassVar[tuple[str, ...]] = ("latency_ms", "energy_mj")  # and the area, where platforms differ
    kind: ClassVar[str] = ""

    def __init__(
        self, space: Space, *input_shapes: Shape, platform: str | Path | Platform | None = None, batch: int = 1
    ) -> None:
        super().__init__(space, *input_shapes)
        if platform is None and platform_in(space.tree) is None:
            raise ConfigurationError(
                f"the cost {type(self).__name__} needs platform=..., or a `platform` beside the space's network"
            )
        if batch < 1:
            raise ConfigurationError(f"a batch is at least 1, got {batch}")
        self.platform = None if platform is None else load(platform)
        self.batch = batch
        if self.platform is None:
            self.__dict__["metrics"] = (*type(self).metrics, "area_mm2")
        else:
            self.check(self.platform)

    def check(self, platform: Platform) -> None:
        """Refuse a platform that this model cannot cost.

        Raises:
            ConfigurationError: if a needed section is missing.
        """
        from archwright.platforms.schema import NEEDS

        for section in NEEDS.get(self.kind, ()):
            platform.need(section, type(self).__name__)

    @abstractmethod
    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Cost of each kernel: metric -> (n,), or (n, platforms) where `p` holds arrays (1, platforms).

        Fields of `k` are then (n, 1).
        """

    def area_mm2(self, p: Platform) -> Any:
        """Area of the platform, NaN where it gives no areas."""
        return np.nan

    def missing(self, p: Platform) -> list[str]:
        """Why metrics are NaN on a platform with fixed numbers, a line each; empty if it gives them all."""
        known = "energy_mj" not in type(self).metrics or p.energy is not None
        return [] if known else [f"energy_mj: the platform {p.name!r} has no [energy] section"]

    def reasons(self, architectures: Architectures | np.ndarray) -> list[str]:
        """Why each architecture lacks a metric on its platform, or `fits`."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        if self.platform is not None:
            platforms = [self.platform] * len(codes)
        else:
            arrays = platform_arrays(self.space, codes)
            platforms = [_scalars(_map_numbers(arrays, lambda v, i=i: v[i : i + 1])) for i in range(len(codes))]
        return ["; ".join(self.missing(p)) or "fits" for p in platforms]

    def of_kernels(self, k: Kernels) -> Columns:
        """Cost of each kernel of any network on the fixed platform, (n,); see `kernel_cost`."""
        if self.platform is None:
            raise ConfigurationError("the platform is part of the space; cost whole architectures, not rows")
        return {m: np.broadcast_to(v, (len(k),)) for m, v in self.kernel_costs(k, self.platform).items()}

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Cost of each row on the fixed platform."""
        kernels = kernels_of(rows)
        return {m: kernels.sum_rows(v, len(rows)) for m, v in self.of_kernels(kernels).items()}

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,)."""
        if self.platform is not None:
            return super().evaluate(architectures)
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        return self._own_platforms(self.workload(codes), codes)

    def _own_platforms(self, work: Workload, codes: np.ndarray) -> Columns:
        platform = platform_arrays(self.space, codes)
        self.check(platform)
        kernels = kernels_of(work.rows)
        step = max(1, _CELLS // max(1, len(kernels)))
        parts = [self._piece(work, kernels, platform, slice(s, s + step)) for s in range(0, len(codes), step)]
        return {m: np.concatenate([p[m] for p in parts]) for m in parts[0]}

    def _piece(self, work: Workload, kernels: Kernels, platform: Platform, piece: slice) -> Columns:
        index = work.index[piece]
        n, h = len(kernels), len(index)
        costs = self.kernel_costs(kernels_as_column(kernels), rows_of_platform(platform, piece))
        out: Columns = {}
        for metric, values in costs.items():
            table = np.zeros((len(work.rows) + 1, h))
            np.add.at(table, kernels.owner, np.broadcast_to(values, (n, h)))
            out[metric] = table[index, np.arange(h)[:, None]].sum(axis=1)
        area = self.area_mm2(rows_of_platform(platform, piece))
        out["area_mm2"] = np.broadcast_to(np.asarray(area, dtype=np.float64).reshape(-1), (h,)).copy()
        return out

    def explain(self, architecture: Architecture) -> list[dict[str, Any]]:
        """Cost of each operator of one architecture on its platform, in order."""
        if self.platform is not None:
            return super().explain(architecture)
        code = np.asarray(architecture.code)[None]
        fixed = type(self).__new__(type(self))
        fixed.__dict__.update(self.__dict__)
        fixed.platform = _scalars(platform_arrays(self.space, code))
        return AdditiveCost.explain(fixed, architecture)

    def expected(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Expected cost, differentiable in the probabilities, those of the platform's decisions included."""
        if self.platform is None:
            from archwright.costs.expected_platform import expected_on_platforms

            return expected_on_platforms(self, self._root, probabilities)
        return super().expected(probabilities)


def kernels_as_column(k: Kernels) -> Kernels:
    """Kernels whose fields are (n, 1), to stand against platforms (1, m)."""
    arrays = {f.name: getattr(k, f.name) for f in fields(k) if f.name not in ("owner", "names")}
    return Kernels(**{name: a[:, None] for name, a in arrays.items()}, owner=k.owner, names=k.names)


def _map_numbers(platform: Platform, change: Any) -> Platform:
    varied: dict[str, Any] = {}
    for part in fields(platform):
        section = getattr(platform, part.name)
        if is_dataclass(section) and not isinstance(section, type):
            arrays = {f.name: getattr(section, f.name) for f in fields(section)}
            varied[part.name] = replace(
                section, **{n: change(v) for n, v in arrays.items() if isinstance(v, np.ndarray)}
            )
    return replace(platform, **varied)


def rows_of_platform(platform: Platform, piece: slice) -> Platform:
    """A piece of a batch of platforms, numbers as (1, m)."""
    return _map_numbers(platform, lambda v: v[piece][None, :])


def _scalars(platform: Platform) -> Platform:
    return _map_numbers(platform, lambda v: v.reshape(-1)[0].item())


def cost_on(
    platform: str | Path | Platform, space: Space, *input_shapes: Shape, batch: int = 1, dtype: str | None = None
) -> PlatformCost:
    """The cost model that belongs to a platform's kind.

    Raises:
        ConfigurationError: if the platform is not known, or has one number format only and `dtype` is given.
    """
    found = load(platform)
    model = _model_of(found, dtype)
    options = {} if dtype is None else {"dtype": dtype}
    return model(space, *input_shapes, platform=found, batch=batch, **options)


def _model_of(platform: Platform, dtype: str | None) -> type[PlatformCost]:
    from archwright.registry import get

    model: type[PlatformCost] = get("costs", platform.kind)
    if dtype is not None and not hasattr(model, "dtype"):
        raise ConfigurationError(
            f"the platform {platform.name!r} of kind {platform.kind!r} has words of its own; a number format is for "
            "platforms of kind 'roofline'"
        )
    return model


def kernel_cost(platform: str | Path | Platform, *, batch: int = 1, dtype: str | None = None) -> PlatformCost:
    """The cost model of a platform's kind without a space, for `of_kernels` and `missing`.

    Raises:
        ConfigurationError: if the platform is not known or lacks a section, or the number format does not fit it.
    """
    found = load(platform)
    model = _model_of(found, dtype)
    cost: PlatformCost = model.__new__(model)
    cost.__dict__ |= {"platform": found, "batch": batch} | ({} if dtype is None else {"dtype": dtype})
    cost.check(found)
    return cost
