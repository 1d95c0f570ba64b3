"""Any module of the user's as an operator."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape, Traced
from archwright.operators.rules import tally
from archwright.registry import register


@register("operators", "call", labels={"family": "user"})
@dataclass(frozen=True)
class Call(Leaf):
    """What a callable returns: a module class or a function that makes a module.

    `target` is `"package.module:Name"`; a class or function that can be imported under its own name may be given
    itself. It is imported when a module, a shape or a count is asked for, never before. It is called with `arguments`;
    parameters named `inputs` (tuple of input shapes), `input_shape` (shape of the only input), `in_channels` (its first
    axis) and `in_features` (its last axis) are filled in unless given.

    A loader of files must refuse targets that its caller has not allowed: building the network runs them.
    """

    imports: ClassVar[tuple[str, ...]] = ("target",)  # fields that name code to import

    target: str | Callable[..., nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if callable(self.target):
            object.__setattr__(self, "target", name_of(self.target))
        object.__setattr__(self, "arguments", dict(self.arguments))

    def __hash__(self) -> int:
        return hash((self.target, repr(sorted(self.arguments.items()))))

    def callable(self) -> Callable[..., nn.Module]:
        """The imported target.

        Raises:
            SpaceError: if there is no such thing.
        """
        module, _, names = str(self.target).partition(":")
        if not names:
            raise SpaceError(f"target of Call must read 'package.module:Name', got {self.target!r}")
        try:
            thing: Any = importlib.import_module(module)
            for name in names.split("."):
                thing = getattr(thing, name)
        except (ImportError, AttributeError) as error:
            raise SpaceError(f"Call cannot import {self.target!r}: {error}; check the name and the path") from error
        if not callable(thing):
            raise SpaceError(f"Call expects a class or function, {self.target!r} is {thing!r}")
        return thing

    def layer(self, *inputs: Shape) -> Layer:
        """The target and its arguments, those that follow from the input shapes included."""
        target = self.callable()
        first = inputs[0] if len(inputs) == 1 else None
        known = {"inputs": inputs}
        if first:
            known |= {"input_shape": first, "in_channels": first[0], "in_features": first[-1]}  # type: ignore[dict-item]
        taken = inspect.signature(target).parameters
        filled = {name: value for name, value in known.items() if name in taken}
        return Layer(target, {**filled, **self.arguments})  # type: ignore[arg-type]

    def module(self, *inputs: Shape) -> nn.Module:
        """What the target returns.

        Raises:
            SpaceError: if it raises, or returns something other than a module.
        """
        target, arguments = self.layer(*inputs)
        try:
            made = target(**arguments)
        except Exception as error:
            raise SpaceError(f"{self.target}(**{arguments}) raised {type(error).__name__}: {error}") from error
        if not isinstance(made, nn.Module):
            raise SpaceError(f"{self.target} must return an nn.Module, got {type(made).__name__}")
        return made

    def output(self, *inputs: Shape) -> Shape:
        """Traced."""
        return self._traced(inputs).output

    def counts(self, *inputs: Shape) -> Counts:
        """Traced."""
        return self._traced(inputs).counts

    def _traced(self, inputs: tuple[Shape, ...]) -> Traced:
        key = (repr(self), inputs)
        if key not in _seen:
            while len(_seen) >= 4096:
                _seen.pop(next(iter(_seen)))
            _seen[key] = self._run(inputs)
        return _seen[key]

    def _run(self, inputs: tuple[Shape, ...]) -> Traced:
        """Run once on shapes alone, or, where the module needs numbers, on zeros."""
        try:
            return run_once(self, inputs, "meta")
        except Exception:
            with torch.random.fork_rng():
                try:
                    return run_once(self, inputs, "cpu")
                except SpaceError:
                    raise
                except Exception as error:
                    raise SpaceError(
                        f"{self.target} does not accept inputs of shape {inputs}: {type(error).__name__}: {error}; "
                        "check its arguments and what stands before it"
                    ) from error

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Modules of torch."""
        return [
            (cls("torch.nn:Conv2d", {"out_channels": 4, "kernel_size": 3}), ((3, 6, 6),)),
            (cls(nn.Linear, {"out_features": 4}), ((6,),)),
        ]


_seen: dict[tuple[str, tuple[Shape, ...]], Traced] = {}


def name_of(thing: Callable[..., Any]) -> str:
    """Import path of a class or function.

    Raises:
        SpaceError: if it cannot be imported under its own name.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "<unnamed>")
    found: Any = None
    if module and "<" not in name:
        try:
            found = importlib.import_module(module)
        except ImportError:
            raise SpaceError(
                f"Call needs a class or function of a module that can be imported, got {thing!r}"
            ) from None
        for part in name.split("."):
            found = getattr(found, part, None)
    if found is not thing:
        raise SpaceError(f"Call needs a class or function that can be imported by its name, got {thing!r}")
    return f"{module}:{name}"


def run_once(leaf: Leaf, inputs: tuple[Shape, ...], device: str) -> Traced:
    """Output shape and counts of one sample.

    Raises:
        SpaceError: if the output is no tensor with a batch axis.
    """
    with torch.device(device):
        module = leaf.module(*inputs).eval()
        values = [torch.zeros(1, *shape) for shape in inputs]
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        result = module(*values)
    if not isinstance(result, torch.Tensor):
        raise SpaceError(f"{leaf!r} must return one tensor, got {type(result).__name__}")
    if result.dim() == 0 or result.shape[0] != 1:
        raise SpaceError(f"{leaf!r} must keep the batch axis, got {tuple(result.shape)} for a batch of 1")
    output = tuple(result.shape[1:])
    buffers = [b for b in module.buffers() if b.is_floating_point()]
    return Traced(
        output,
        tally(
            output,
            params=sum(p.numel() for p in module.parameters()),
            macs=counter.get_total_flops() // 2,
            buffers=sum(b.numel() for b in buffers),
        ),
    )


def call(target: str | Callable[..., nn.Module], **arguments: Any) -> Call:
    """`Call` with keyword arguments that may hold choices: `call("my_package:Block", width=oneof(32, 64))`."""
    return Call(target, arguments)
