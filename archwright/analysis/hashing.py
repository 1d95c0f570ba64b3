"""Functional hashing: architectures that compute the same share one key, however they are coded.

Gillard et al., "Unified Functional Hashing in Automatic Machine Learning" (2023): a candidate runs on fixed small data
and what comes out, rounded, is its key. Weights must not depend on where an operator stands, or isomorphic graphs would
differ; so each layer's weights are drawn from a seed made of the layer and of the value that it reads. Batch norms are
in evaluation mode (identity when fresh), so that they hide no factor. Equal layers that read equal values then have
equal weights although training would set them apart; what tells them apart is therefore part of the key: for each layer
on a live path, how the output depends on this layer's own output.

Known error: without these sensitivities (`sensitive=False`, faster) two architectures collide if they differ only in
which of several equal layers on equal inputs feeds what; `benchmarks/hashing.py` measures both on NAS-Bench-201.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archwright.nets.build import program_of
from archwright.nets.program import Program, Step
from archwright.operators.base import Leaf, Shape
from archwright.space import Architecture

NOTHING = "0"  # the digest of a value that is zero everywhere
PROJECTIONS = 8
Address = tuple[Leaf, tuple[Shape, ...], tuple[str, ...]]  # a layer, its input shapes, digests of what it reads


@dataclass(frozen=True)
class _Result:
    digest: str
    value: Tensor  # (samples, ...) float64
    has_weights: bool


class FunctionalHash:
    """Keys of architectures: `hash(architecture)` is equal for equal functions.

    Results of layers are remembered across architectures, so that a key costs little more than reading the graph when
    most of a network has been seen before.

    Args:
        input_shapes: of each input, without the batch axis; smaller ones than the task's make cheaper keys.
        samples: in the fixed batch.
        digits: that values are rounded to, relative to their size.
        seed: of data and weights.
        remember: results of layers kept.
        sensitive: read the output's dependence on every layer as well: a forward and a backward pass a key.
    """

    def __init__(
        self,
        *input_shapes: Shape,
        samples: int = 2,
        digits: int = 6,
        seed: int = 0,
        remember: int = 1024,
        sensitive: bool = True,
    ) -> None:
        self.input_shapes, self.samples, self.digits, self.seed = input_shapes, samples, digits, seed
        self._remember, self._sensitive = remember, sensitive
        self._known: OrderedDict[Address, _Result] = OrderedDict()
        self._directions: dict[int, Tensor] = {}
        draw = torch.Generator().manual_seed(seed)
        data = [torch.randn(samples, *shape, generator=draw, dtype=torch.float64) for shape in input_shapes]
        self._inputs = [_Result(self._digest(x), x, False) for x in data]

    def __call__(self, architecture: Architecture | Any) -> str:
        """The key, 32 hexadecimal digits, of an architecture or of a tree of operators without choices.

        Raises:
            SpaceError: if there is no network to build.
        """
        return self.of_program(program_of(architecture, *self.input_shapes))

    def of_program(self, program: Program) -> str:
        """The key of a network's program."""
        values: dict[int, _Result] = dict(enumerate(self._inputs))
        addresses: list[Address] = []
        for step in program.steps:
            address = (step.leaf, step.input_shapes, tuple(values[n].digest for n in step.inputs))
            addresses.append(address)
            values[step.output] = self._run(step, address, [values[n].value for n in step.inputs])
        live = _live(program, values)
        own = [k for k, s in enumerate(program.steps) if s.output in live and values[s.output].has_weights]
        felt = self._sensitivities(program, addresses, own) if self._sensitive else [""] * len(own)
        found = sorted(f"{_text(addresses[k])} {digest}" for k, digest in zip(own, felt, strict=True))
        text = "\n".join([values[program.result].digest, *found])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _sensitivities(self, program: Program, addresses: Sequence[Address], wanted: Sequence[int]) -> list[str]:
        """Digests of the gradient of a fixed projection of the result by each wanted step's own output."""
        values = {n: r.value for n, r in enumerate(self._inputs)}
        own: dict[int, Tensor] = {}
        for k, step in enumerate(program.steps):
            module = self._module(step, addresses[k]).requires_grad_(False)
            value = module(*[values[n] for n in step.inputs])
            if k in wanted:
                value = own[k] = value.requires_grad_(True) if value.is_leaf else value
            values[step.output] = value
        if not own:
            return []
        result = values[program.result].flatten()
        total = (result @ self._projections(len(result))).sum()
        found = torch.autograd.grad(total, [own[k] for k in wanted], allow_unused=True, materialize_grads=True)
        return [self._digest(g) for g in found]

    def _module(self, step: Step, address: Address) -> nn.Module:
        """The layer with weights drawn for its address, in evaluation mode and float64."""
        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {_text(address)}".encode()).digest()[:7], "big")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return step.leaf.module(*step.input_shapes).double().eval()

    def _run(self, step: Step, address: Address, inputs: Sequence[Tensor]) -> _Result:
        known = self._known.get(address)
        if known is not None:
            self._known.move_to_end(address)
            return known
        module = self._module(step, address)
        with torch.no_grad():
            value = module(*inputs)
        result = _Result(self._digest(value), value, any(True for _ in module.parameters()))
        self._known[address] = result
        while len(self._known) > self._remember:
            self._known.popitem(last=False)
        return result

    def _digest(self, value: Tensor) -> str:
        """Digest of a value's size and of a few projections of it, rounded: sums in another order give the same."""
        flat = value.flatten()
        size = float(flat.norm())
        if not math.isfinite(size):
            return "not finite"
        if size < 1e-30:
            return NOTHING
        found = (flat / size) @ self._projections(len(flat)) * 10**self.digits
        numbers = [round(math.log(size) * 10**self.digits), *(round(v) for v in found.tolist())]
        return hashlib.sha256(repr((tuple(value.shape), numbers)).encode()).hexdigest()[:24]

    def _projections(self, n: int) -> Tensor:
        if n not in self._directions:
            draw = torch.Generator().manual_seed(self.seed + n)
            self._directions[n] = torch.randn(n, PROJECTIONS, generator=draw, dtype=torch.float64)
        return self._directions[n]


def _text(address: Address) -> str:
    leaf, shapes, digests = address
    return f"{leaf!r} {shapes} {digests}"


def _live(program: Program, values: dict[int, _Result]) -> set[int]:
    """Numbers of the values that are not zero and that reach the result through such values."""
    live = {program.result}
    for step in reversed(program.steps):
        if step.output in live and values[step.output].digest != NOTHING:
            live.update(n for n in step.inputs if values[n].digest != NOTHING)
    return live


def functional_hash(*input_shapes: Shape) -> Callable[[Architecture], str]:
    """A key for `CachedEvaluator` for networks with these inputs, with the defaults of `FunctionalHash`."""
    return FunctionalHash(*input_shapes)


__all__ = ["FunctionalHash", "functional_hash"]
