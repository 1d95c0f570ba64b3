"""Weight entanglement: one call of the largest operator for every slice of it at once.

All slices of an elastic operator are parts of one weight, so a weighted sum of slices padded with zeros is the weight
times a mask, W_mix = W * sum_j a_j mask_j, and one call serves every choice (TangleNAS, Sukthankar et al., 2024,
section 3; AutoFormer, Chen et al., 2021, for the sharing itself). For linear operators this equals the weighted sum of
the choices' outputs; beyond them it is the method's own relaxation.

Dimensions over which a tensor sums incoming channels are not masked: those channels arrive already weighted. Layer
norms are computed on the active channels of every setting (statistics of zero padding would be wrong).
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.nets.active_norm import ActiveNorm
from archwright.nets.cut import AxisSizes, cut_of
from archwright.nets.flow import Joint, Scalars, joint
from archwright.nets.joint import is_joint, join
from archwright.operators.base import Layer, Leaf, Shape
from archwright.operators.norm import ChannelNorm, ChannelRMSNorm

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
Setting = tuple[Leaf, tuple[Shape, ...]]  # a resolved leaf and its input shapes


@dataclass(frozen=True, eq=False)
class Settings:
    """The resolved leaves of a site over a grid of decisions.

    Attributes:
        paths: of the decisions that matter.
        sizes: numbers of their options.
        rows: index into `table` of every joint setting, flat, the last decision fastest.
        table: resolved leaves with their input shapes.
    """

    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: np.ndarray
    table: Sequence[Setting]


def full_arguments(layer: Layer) -> dict[str, Any]:
    """A layer's arguments with the defaults filled in."""
    bound = inspect.signature(layer.cls).bind(**layer.arguments)
    bound.apply_defaults()
    loose = {p.name for p in bound.signature.parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return {k: v for k, v in bound.arguments.items() if k not in loose}


def signature(layer: Layer, mixes: str = "") -> tuple[Any, ...]:
    """What must agree for two settings to be slices of one module: class, and arguments that are not sizes.

    `mixes` names an argument that need not agree, as mixtures tell the module the shares of its values.
    """
    arguments = full_arguments(layer)
    plain = {
        k: v for k, v in sorted(arguments.items()) if k != mixes and (isinstance(v, bool) or not isinstance(v, int))
    }
    return layer.cls, repr(plain)


def groups_of(settings: Settings) -> list[np.ndarray]:
    """Bool masks over the settings, one for each module structure that occurs."""
    known: dict[tuple[Any, ...], list[int]] = {}
    for row in np.unique(settings.rows).tolist():
        leaf, shapes = settings.table[row]
        known.setdefault(signature(leaf.layer(*shapes), leaf.mixes), []).append(row)
    return [np.isin(settings.rows, rows) for rows in known.values()]


@dataclass(frozen=True, eq=False)
class MaskGroup:
    """Dimensions of a tensor whose sizes depend on the same decisions.

    paths: of the decisions; allowed: (settings,) which of their joint settings count;
    parts: dimension -> (settings, size) indicators of the positions that a setting keeps.
    """

    paths: tuple[str, ...]
    allowed: np.ndarray
    parts: Mapping[int, np.ndarray]


class Mask:
    """The mask of one tensor: the superposition of the settings' slices."""

    def __init__(self, groups: Sequence[MaskGroup], dimensions: int) -> None:
        self.dimensions = dimensions
        self.groups = [(g.paths, _allowed(g.allowed), {d: _tensor(p) for d, p in g.parts.items()}) for g in groups]

    def __call__(self, scalars: Scalars) -> Tensor:
        """A tensor that broadcasts to the masked one."""
        factors: list[Tensor] = []
        for paths, allowed, parts in self.groups:
            share = shares(scalars, paths, allowed)
            part = _contract(share, [p.to(scalars.like) for p in parts.values()])
            shape = [1] * self.dimensions
            for dim, size in zip(parts, part.shape, strict=True):
                shape[dim] = size
            factors.append(part.reshape(shape))
        return functools.reduce(torch.mul, factors)


def _tensor(indicator: np.ndarray) -> Tensor:
    return torch.from_numpy(indicator.astype(np.float32))


def _allowed(settings: np.ndarray) -> Tensor | None:
    """The indicator of the settings that count; None if all do."""
    return None if settings.all() else torch.from_numpy(settings.astype(np.float64))


def shares(scalars: Scalars, paths: Sequence[str], allowed: Tensor | None) -> Tensor:
    """(settings,) weight of every joint setting, those that are not allowed left out and the rest scaled up to one."""
    every = joint(scalars, paths).reshape(-1)
    if allowed is None:
        return every
    kept = every * allowed.to(scalars.like)
    return kept / kept.sum().clamp_min(1e-12) * every.sum()


def _contract(share: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """sum_j share_j part1_j (x) part2_j (x) ..."""
    if len(parts) == 1:
        return share @ parts[0]
    if len(parts) == 2:
        return (parts[0] * share[:, None]).T @ parts[1]
    letters = "abcdefg"[: len(parts)]
    return torch.einsum(f"z,{','.join('z' + x for x in letters)}->{letters}", share, *parts)


class Entangled:
    """One call of a large module whose tensors are masked by the weights of decisions.

    Args:
        large: the supernet's module; None for a leaf without tensors.
        hull: resolved largest leaf and its input shapes.
        settings: every setting of the leaf.
        allowed: (settings,) bool, those of one module structure.
        support: whether the leaf turns zeros into something else, so that inactive channels must be cleared.

    Raises:
        SpaceError: if the leaf holds something whose slices cannot share one call.
    """

    def __init__(self, large: nn.Module | None, hull: Setting, settings: Settings, allowed: np.ndarray) -> None:
        self.large, self.settings, self.allowed = large, settings, allowed
        self.output = hull[0].output(*hull[1])
        first = settings.table[int(settings.rows[allowed][0])]
        self.module = _twin(hull, first, large)
        self.masks: dict[str, Mask] = {}
        self.norms: list[tuple[ActiveNorm, tuple[str, ...], Tensor | None, Tensor]] = []
        if large is not None:
            self._find_masks(hull, large)
        self.parts = _owners(self.module, large) if large is not None else []
        self.mixed = _mixed(settings, allowed, hull[0].mixes)
        self.counts = _allowed(allowed)

    def _find_masks(self, hull: Setting, large: nn.Module) -> None:
        leaf, shapes = hull
        rows = np.unique(self.settings.rows[self.allowed]).tolist()
        kinds = {row: parameter_shapes(*self.settings.table[row]) for row in rows}
        own = {name for name, _ in self.module.named_parameters()}
        for name, tensor in large.named_parameters():
            if name not in own:  # this structure, such as an identity, does without it
                continue
            indicators: dict[int, np.ndarray] = {}
            axes = leaf.axes_of(name, tensor.dim())
            cuts = {
                row: _indicators(leaf, shapes, self.settings.table[row], name, tensor, kinds[row][name]) for row in rows
            }
            for dim, axis in enumerate(axes):
                if axis is None or (dim > 0 and axis.startswith("in")):
                    continue
                found = np.stack(
                    [cuts[r][dim] if r in cuts else cuts[next(iter(cuts))][dim] for r in self.settings.rows]
                )
                if not found[self.allowed].all():
                    indicators[dim] = found
            if indicators:
                self._note(name, tensor.dim(), indicators)

    def _note(self, name: str, dimensions: int, indicators: dict[int, np.ndarray]) -> None:
        groups = list(_grouped(self.settings, self.allowed, indicators))
        owner_name, _, _ = name.rpartition(".")
        owner = self.module.get_submodule(owner_name)
        if isinstance(owner, nn.GroupNorm):
            raise SpaceError("a group norm over channels that are a decision cannot be mixed; use batch or layer norm")
        if isinstance(owner, ActiveNorm):
            return
        if isinstance(owner, nn.LayerNorm | nn.RMSNorm | ChannelNorm | ChannelRMSNorm):
            axis = 1 if isinstance(owner, ChannelNorm | ChannelRMSNorm) else -1
            active = ActiveNorm(owner, axis)
            (indicator,) = groups[0].parts.values()
            self.norms.append((active, groups[0].paths, _allowed(groups[0].allowed), _tensor(indicator)))
            self.module = _replaced(self.module, owner_name, active)
            return
        self.masks[name] = Mask(groups, dimensions)

    def __call__(self, scalars: Scalars, *values: Tensor) -> Tensor:
        """Run with masked tensors."""
        for norm, paths, allowed, kept_channels in self.norms:
            norm.share = shares(scalars, paths, allowed)
            norm.kept = kept_channels.to(scalars.like)
        if self.mixed is not None:
            share = shares(scalars, self.settings.paths, self.counts)
            given = tuple((values, kept.to(scalars.like) @ share) for values, kept in self.mixed.entries)
            setattr(self.module, "mixed", given if self.mixed.several else given[0])  # noqa: B010
        if self.large is not None and self.module.training != self.large.training:
            self.module.train(self.large.training)
        if torch.compiler.is_compiling():  # compiled code may not change what a module holds
            masked = {name: self._masked(source[key], name, scalars) for _, source, key, name in self.parts}
            return torch.func.functional_call(self.module, masked, values)
        for target, source, key, name in self.parts:
            target[key] = self._masked(source[key], name, scalars)
        return self.module(*values)

    def _masked(self, tensor: Tensor, name: str, scalars: Scalars) -> Tensor:
        return tensor * self.masks[name](scalars) if name in self.masks else tensor

    def runs(self, shapes: Sequence[Shape]) -> bool:
        """Whether this structure turns inputs of the largest shapes into the largest output."""
        twin = copy.deepcopy(self.module).to("meta")
        for module in twin.modules():
            if isinstance(module, ActiveNorm):
                return True
        try:
            with torch.no_grad():
                out = twin.eval()(*(torch.empty(1, *s, device="meta", dtype=self.dtype) for s in shapes))
        except RuntimeError:
            return False
        return tuple(out.shape[1:]) == self.output

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors."""
        return next((p.dtype for p in self.module.parameters()), torch.get_default_dtype())

    def coefficient(self) -> Joint | None:
        """The share of this structure's settings; None if there is no other structure."""
        if self.allowed.all():
            return None
        grid = torch.from_numpy(self.allowed.reshape(self.settings.sizes))
        return Joint(self.settings.paths, grid)


def _twin(hull: Setting, first: Setting, large: nn.Module | None) -> nn.Module:
    """A module of the largest sizes with the structure of another setting."""
    leaf, shapes = hull
    layer = leaf.layer(*shapes)
    arguments = full_arguments(layer)
    other_layer = first[0].layer(*first[1])
    other = full_arguments(other_layer)
    if other.get("head_dim") != arguments.get("head_dim"):
        raise SpaceError(
            f"{leaf!r} has a head_dim that changes with a decision; give it as a number to mix the choices"
        )
    arguments = {
        k: v if isinstance(v, int) and not isinstance(v, bool) else other.get(k, v) for k, v in arguments.items()
    }
    if layer.cls is not other_layer.cls:
        other_module = other_layer.cls(**full_arguments(other_layer))
        return join(other_module) if large is not None and is_joint(large) else other_module
    module = layer.cls(**arguments)
    if large is not None:
        module = join(module) if is_joint(large) else module
        for parameter in large.parameters():
            module = module.to(parameter.device, parameter.dtype)
            break
    return module


@dataclass(frozen=True, eq=False)
class Mixed:
    """Values of a field whose shares the module is told.

    entries: for each entry of the field its values, and which settings have them, (values, settings) 0 or 1;
    several: whether the field is a tuple of entries.
    """

    entries: tuple[tuple[tuple[int, ...], Tensor], ...]
    several: bool


def _mixed(settings: Settings, allowed: np.ndarray, field: str) -> Mixed | None:
    """The values of the field `mixes`; None if there is none, or it takes one value alone."""
    if not field:
        return None
    found = [getattr(settings.table[row][0], field) for row in settings.rows.tolist()]
    several = isinstance(found[0], tuple)
    columns = np.array(found).reshape(len(found), -1).T  # (entries, settings)
    if not any(np.ptp(column[allowed]) for column in columns):
        return None
    entries = []
    for column in columns:
        values = np.unique(column[allowed])
        entries.append((tuple(values.tolist()), _tensor(column == values[:, None])))
    return Mixed(tuple(entries), several)


def _owners(module: nn.Module, large: nn.Module) -> list[tuple[dict[str, Any], dict[str, Any], str, str]]:
    """For every tensor: where it goes, where it is, its key and its name."""
    sources = dict(large.named_modules())
    out = []
    for prefix, owner in module.named_modules():
        source = sources[prefix]
        for kind in ("_parameters", "_buffers"):
            for key, value in getattr(owner, kind).items():
                if value is not None and (kind == "_parameters" or key in STATISTICS):
                    name = f"{prefix}.{key}" if prefix else key
                    out.append((getattr(owner, kind), getattr(source, kind), key, name))
    return out


def _replaced(root: nn.Module, name: str, new: nn.Module) -> nn.Module:
    if not name:
        return new
    parent, _, key = name.rpartition(".")
    setattr(root.get_submodule(parent), key, new)
    return root


@functools.lru_cache(maxsize=4096)
def parameter_shapes(leaf: Leaf, shapes: tuple[Shape, ...]) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the parameters of a leaf's module."""
    with torch.device("meta"):
        module = leaf.module(*shapes)
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def _indicators(
    hull: Leaf, hull_shapes: tuple[Shape, ...], setting: Setting, name: str, large: Tensor, small: tuple[int, ...]
) -> list[np.ndarray]:
    """Which positions of each dimension of the large tensor a setting keeps: bool (size,) each."""
    leaf, shapes = setting
    sizes = AxisSizes(hull.axis_sizes(*hull_shapes), leaf.axis_sizes(*shapes))
    cut = cut_of(leaf, name, large.shape, small, sizes, {})
    out = []
    for dim, size in enumerate(large.shape):
        kept = np.zeros(size, dtype=bool)
        index = cut.index[dim] if cut.index else slice(None)
        kept[index if isinstance(index, slice) else index.numpy()] = True
        out.append(kept)
    return out


def _grouped(settings: Settings, allowed: np.ndarray, indicators: Mapping[int, np.ndarray]) -> Sequence[MaskGroup]:
    """Group dimensions by the decisions that they depend on; one structure alone is split, several are kept joint."""
    every = tuple(range(len(settings.paths)))
    if not allowed.all():
        return [MaskGroup(settings.paths, allowed, indicators)]
    pending: list[tuple[set[int], dict[int, np.ndarray]]] = []
    for dim, found in indicators.items():
        grid = found.reshape(*settings.sizes, -1)
        depends = {a for a in every if not (grid == grid.take([0], axis=a)).all()}
        merged = (depends, {dim: found})
        rest = []
        for other in pending:
            if other[0] & merged[0]:
                merged = (merged[0] | other[0], {**other[1], **merged[1]})
            else:
                rest.append(other)
        pending = [*rest, merged]
    groups = []
    for depends, parts in pending:
        axes = sorted(depends)
        index = tuple(slice(None) if a in depends else 0 for a in every)
        cut = {d: f.reshape(*settings.sizes, -1)[index].reshape(-1, f.shape[-1]) for d, f in parts.items()}
        count = int(np.prod([settings.sizes[a] for a in axes]))
        groups.append(MaskGroup(tuple(settings.paths[a] for a in axes), np.ones(count, dtype=bool), cut))
    return groups


@torch.no_grad()
def keeps_zeros(module: nn.Module, shapes: Sequence[Shape]) -> bool:
    """Whether a module whose tensors are all zero maps zeros to zeros, so that inactive channels stay so."""
    twin = copy.deepcopy(module).to("cpu").eval()
    for parameter in twin.parameters():
        parameter.zero_()
    dtype = next((p.dtype for p in twin.parameters()), torch.get_default_dtype())
    return not bool(twin(*(torch.zeros(2, *s, dtype=dtype) for s in shapes)).any())
