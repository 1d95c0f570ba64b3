"""A mixture as a straight-line program: calls of shared modules and weighted sums, run on demand.

Every option of every choice is in the program. A run is told which options take part; only what the result needs then
is computed, and a value is dropped after its last use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError, nearest
from archwright.nets.fast import weighted_sum
from archwright.operators.base import Shape

PLANS_KEPT = 64


@dataclass(frozen=True)
class Weights:
    """Weights of the options of every decision, and which options take part.

    Attributes:
        values: decision path -> (options,) weights.
        active: decision path -> the options that are run; all of them where a path is missing.
        probed: decision path -> options that are run in the backward pass alone, to give their weight a gradient
            (ProxylessNAS).
    """

    values: Mapping[str, Tensor]
    active: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    probed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pick:
    """The factor of one option: `weights[path][option]`."""

    path: str
    option: int


@dataclass(frozen=True)
class Total:
    """The factor of several options together: the sum of their weights."""

    path: str
    options: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Joint:
    """The factor of a set of joint settings: the sum of their products of weights; `allowed` has one axis a path."""

    paths: tuple[str, ...]
    allowed: Tensor

    def __call__(self, scalars: Scalars) -> Tensor:
        """Scalar."""
        return (joint(scalars, self.paths) * self.allowed.to(scalars.like)).sum()


Factor = Pick | Total | Joint


class Scalars:
    """The weights of one run; each vector is taken apart once."""

    def __init__(self, weights: Weights, like: Tensor) -> None:
        self.weights, self.like = weights, like
        self._parts: dict[str, tuple[Tensor, ...]] = {}
        self._products: dict[tuple[Factor, ...], Tensor] = {}

    def vector(self, path: str) -> Tensor:
        """(options,) of a decision, in the dtype of the inputs.

        Raises:
            ConfigurationError: if there are none.
        """
        values = self.weights.values
        if path not in values:
            raise ConfigurationError(f"no weights for the decision {path!r}; {nearest(path, values)}")
        return values[path].to(self.like)

    def _one(self, factor: Factor) -> Tensor:
        if isinstance(factor, Joint):
            return factor(self)
        if factor.path not in self._parts:
            self._parts[factor.path] = self.vector(factor.path).unbind()
        parts = self._parts[factor.path]
        if isinstance(factor, Pick):
            return parts[factor.option]
        chosen = [parts[k] for k in factor.options if self.is_active(factor.path, k)]
        return sum(chosen[1:], chosen[0]) if chosen else parts[0] * 0.0

    def is_active(self, path: str, option: int) -> bool:
        """Whether an option takes part."""
        active = self.weights.active.get(path)
        return active is None or option in active

    def takes_part(self, factors: Sequence[Factor]) -> bool:
        """Whether the product of factors can be other than zero."""
        if not self.weights.active:
            return True
        for factor in factors:
            if isinstance(factor, Pick) and not self.is_active(factor.path, factor.option):
                return False
            if isinstance(factor, Total) and not any(self.is_active(factor.path, k) for k in factor.options):
                return False
            if isinstance(factor, Joint) and not self._any_setting(factor):
                return False
        return True

    def _any_setting(self, factor: Joint) -> bool:
        """Whether an allowed joint setting is made of options that take part."""
        left = factor.allowed
        for axis, path in enumerate(factor.paths):
            active = self.weights.active.get(path)
            if active is not None:
                left = left.index_select(axis, torch.tensor(active, dtype=torch.int64))
        return bool(left.any())

    def product(self, factors: tuple[Factor, ...]) -> Tensor | None:
        """Product of factors, None for one."""
        if not factors:
            return None
        known = self._products.get(factors)
        if known is None:
            known = self._one(factors[0])
            for factor in factors[1:]:
                known = known * self._one(factor)
            self._products[factors] = known
        return known


def joint(scalars: Scalars, paths: Sequence[str]) -> Tensor:
    """Outer product of the weights of several decisions, one axis a decision."""
    out = torch.ones((), dtype=scalars.like.dtype, device=scalars.like.device)
    for path in paths:
        out = out[..., None] * scalars.vector(path)
    return out


@dataclass(eq=False)
class Node:
    """One step: values in, one value out."""

    inputs: tuple[int, ...]
    output: int

    def wanted(self, scalars: Scalars) -> tuple[int, ...]:
        """The inputs that this run needs."""
        return self.inputs

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """Compute the output."""
        raise NotImplementedError


@dataclass(eq=False)
class ModuleNode(Node):
    """A module on its inputs."""

    module: nn.Module

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """See `Node`."""
        return self.module(*[values[n] for n in self.inputs])


@dataclass(eq=False)
class FunctionNode(Node):
    """A function of tensors alone; equal `key`s on equal inputs give equal values."""

    function: Callable[..., Tensor]
    key: Any = None

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """See `Node`."""
        return self.function(*[values[n] for n in self.inputs])


@dataclass(eq=False)
class WeighedNode(Node):
    """A function that also reads the weights."""

    function: Callable[..., Tensor]

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """See `Node`."""
        return self.function(scalars, *[values[n] for n in self.inputs])


@dataclass(eq=False)
class ZeroNode(Node):
    """Zeros of a shape, whatever comes in."""

    shape: Shape

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """See `Node`."""
        return zeros(values[self.inputs[0]], self.shape)


def zeros(like: Tensor, shape: Shape) -> Tensor:
    """Zeros (batch, *shape)."""
    return like.new_zeros((like.shape[0], *shape))


@dataclass(eq=False)
class SumNode(Node):
    """Weighted sum: `factors[i]` belong to `inputs[i]`; `folded` are factors that the input already has."""

    factors: tuple[tuple[Factor, ...], ...]
    shape: Shape
    folded: dict[int, tuple[Factor, ...]] = field(default_factory=dict)

    def _active(self, scalars: Scalars) -> list[int]:
        return [i for i, f in enumerate(self.factors) if scalars.takes_part((*f, *self.folded.get(i, ())))]

    def wanted(self, scalars: Scalars) -> tuple[int, ...]:
        """Inputs whose factors are not zero."""
        return tuple(self.inputs[i] for i in self._active(scalars))

    def run(self, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        """See `Node`."""
        active = self._active(scalars)
        if not active:
            return zeros(scalars.like, self.shape)
        return weighted_sum(
            [values[self.inputs[i]] for i in active], [scalars.product(self.factors[i]) for i in active]
        )


@dataclass(eq=False)
class Probe:
    """A term of a sum that is computed in the backward pass alone: its own nodes, and the values they start from."""

    total: SumNode
    term: int
    pick: Pick
    nodes: list[Node]
    sources: tuple[int, ...]


@dataclass(eq=False)
class Plan:
    """The nodes of one choice of active options, the values that each one frees, and the probes of sums."""

    nodes: list[Node]
    free: list[list[int]]
    probes: dict[int, list[Probe]]  # output of a sum -> its probes


class _Probed(torch.autograd.Function):
    """The sum as it is; in the backward pass the probed weight gets <gradient, term>."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, weight: Tensor, term: Callable[[], Tensor]) -> Tensor:
        ctx.term, ctx.like = term, weight
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:  # type: ignore[override]
        to_weight = None
        if ctx.needs_input_grad[1]:
            with torch.no_grad():
                to_weight = (grad * ctx.term()).sum().to(ctx.like)
        return grad, to_weight, None


class Flow:
    """Nodes over numbered values; values 0 .. inputs - 1 are the inputs."""

    def __init__(self, inputs: int, nodes: Sequence[Node], result: int) -> None:
        self.inputs, self.nodes, self.result = inputs, list(nodes), result
        self._plans: OrderedDict[Any, Plan] = OrderedDict()

    def run(self, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
        """The result for inputs (batch, ...)."""
        scalars = Scalars(weights, inputs[0])
        return self.execute(self.plan(scalars), inputs, scalars)

    def execute(self, plan: Plan, inputs: Sequence[Tensor], scalars: Scalars) -> Tensor:
        """The result by a plan of this flow."""
        values: dict[int, Tensor] = dict(enumerate(inputs))
        for node, free in zip(plan.nodes, plan.free, strict=True):
            value = node.run(values, scalars)
            for probe in plan.probes.get(node.output, ()):
                value = self._probed(value, probe, values, scalars)
            values[node.output] = value
            for n in free:
                del values[n]
        return values[self.result]

    def _probed(self, value: Tensor, probe: Probe, values: Mapping[int, Tensor], scalars: Scalars) -> Tensor:
        path, option = probe.pick.path, probe.pick.option
        given = scalars.weights
        alone = {p: v.detach() for p, v in given.values.items()}
        alone[path] = torch.zeros_like(alone[path])
        alone[path][option] = 1.0
        only = Weights(alone, {**given.active, path: (option,)})
        starts = {n: values[n].detach() for n in probe.sources}

        kind = scalars.like.device.type
        low, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

        def term() -> Tensor:
            own = Scalars(only, scalars.like)
            found = dict(starts)
            with torch.autocast(kind, dtype, enabled=low):  # the backward pass runs outside of that of the losses
                for inner in probe.nodes:
                    found[inner.output] = inner.run(found, own)
            factor = own.product(probe.total.factors[probe.term])
            output = found[probe.total.inputs[probe.term]]
            return output if factor is None else output * factor

        return _Probed.apply(value, scalars.vector(path)[option], term)

    def _probes(self, node: Node, scalars: Scalars, needed: set[int]) -> list[Probe]:
        if not isinstance(node, SumNode) or not scalars.weights.probed:
            return []
        made = {n.output: n for n in self.nodes}
        out = []
        for i, factors in enumerate(node.factors):
            for f in (*factors, *node.folded.get(i, ())):
                if isinstance(f, Pick) and f.option in scalars.weights.probed.get(f.path, ()):
                    own = Scalars(
                        Weights(scalars.weights.values, {**scalars.weights.active, f.path: (f.option,)}), scalars.like
                    )
                    if not own.takes_part((*factors, *node.folded.get(i, ()))):
                        continue
                    inside, sources = _closure(node.inputs[i], made, needed, own)
                    out.append(Probe(node, i, f, inside, sources))
        return out

    def plan(self, scalars: Scalars) -> Plan:
        """The nodes that a run with these weights needs; kept for the next run with the same options."""
        active = scalars.weights.active
        key = (tuple(sorted(active.items())), tuple(sorted(scalars.weights.probed.items())))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._make_plan(scalars)
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        return plan

    def _make_plan(self, scalars: Scalars) -> Plan:
        needed, chosen = {self.result}, []
        for node in reversed(self.nodes):
            if node.output in needed:
                chosen.append(node)
                needed.update(node.wanted(scalars))
        chosen.reverse()
        probes = {n.output: found for n in chosen if (found := self._probes(n, scalars, needed))}
        last: dict[int, int] = {}
        for i, node in enumerate(chosen):
            last[node.output] = i
            for n in (*node.wanted(scalars), *(s for p in probes.get(node.output, ()) for s in p.sources)):
                last[n] = i
        free: list[list[int]] = [[] for _ in chosen]
        for n, i in last.items():
            if n != self.result:
                free[i].append(n)
        return Plan(chosen, free, probes)


def _closure(
    value: int, made: Mapping[int, Node], known: set[int], scalars: Scalars
) -> tuple[list[Node], tuple[int, ...]]:
    """The nodes that make a value out of known ones, in order, and the known ones."""
    if value in known or value not in made:
        return [], (value,)
    nodes: dict[int, Node] = {}
    sources: dict[int, None] = {}
    waiting = [value]
    while waiting:
        n = waiting.pop()
        if n in known or n not in made:
            sources[n] = None
        elif n not in nodes:
            nodes[n] = made[n]
            waiting.extend(made[n].wanted(scalars))
    order = {n: i for i, n in enumerate(made)}
    return [nodes[n] for n in sorted(nodes, key=lambda n: order[n])], tuple(sources)
