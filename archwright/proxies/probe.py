"""What zero-cost proxies look at: one untrained network, one batch, and passes that several proxies share.

A `Probe` owns a copy of the network, so that no pass changes the caller's. Each pass runs once, when it is first asked
for: asking for gradient norm, SNIP and Fisher together costs one forward and backward pass. The network is in training
mode with batch statistics, as in Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (2021), section 3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from archwright.errors import EvaluationError

Loss = Callable[[Tensor, Tensor], Tensor]
Hook = tuple[nn.Module, str, Callable[..., Any]]

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Hardsigmoid,
)  # fmt: skip


@dataclass(frozen=True)
class LossPass:
    """Gradients of the task's loss.

    weights, gradients: of every convolution and linear layer that the loss reaches, in order; same shapes.
    fisher: (out,) of each, half the mean over samples of the squared (activation . gradient) of each output channel.
    """

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    fisher: tuple[Tensor, ...]


@dataclass(frozen=True)
class Attended:
    """One self-attention at work: probabilities (b, heads, l, l) of its queries over keys."""

    name: str
    probabilities: Tensor


class Probe:
    """An untrained network with a batch.

    Args:
        net: any module; a copy of it is worked on.
        inputs: (b, ...) of each input.
        targets: (b, ...).
        loss: of outputs and targets.
        seed: of all draws (dropout, noise, weights that a proxy redraws).
    """

    def __init__(self, net: nn.Module, inputs: Sequence[Tensor], targets: Tensor, loss: Loss, *, seed: int = 0) -> None:
        self.net = copy.deepcopy(net).train()
        self.inputs, self.targets, self.loss, self.seed = tuple(inputs), targets, loss, seed

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Torch's generators at the probe's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            yield

    @cached_property
    def layers(self) -> dict[str, Any]:
        """Name -> convolution or linear layer."""
        return {n: m for n, m in self.net.named_modules() if isinstance(m, WEIGHTED)}

    @cached_property
    def attentions(self) -> dict[str, nn.Module]:
        """Name -> self-attention: a module with linear layers `query` and `key` (and `value`)."""
        return {n: m for n, m in self.net.named_modules() if is_attention(m)}

    def differentiable(self, outputs: Tensor) -> Tensor:
        """The outputs.

        Raises:
            EvaluationError: if nothing trainable leads to them.
        """
        if not outputs.requires_grad:
            raise EvaluationError("the network's output depends on no weight and no input, so it has no gradient")
        return outputs

    @cached_property
    def loss_pass(self) -> LossPass:
        """One forward and backward pass of the loss."""
        names = list(self.layers)
        layers = list(self.layers.values())
        fisher: dict[int, Tensor] = {}

        def keep(place: int) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, out: Tensor) -> None:
                act, last = out.detach(), isinstance(module, nn.Linear)

                def saliency(g: Tensor) -> None:
                    fisher[place] = fisher.get(place, 0.0) + _fisher(act, g, channels_last=last)

                if out.requires_grad:
                    out.register_hook(saliency)

            return hook

        hooks: list[Hook] = [(layer, "forward", keep(i)) for i, layer in enumerate(layers)]
        with self.seeded(), hooked(hooks):
            loss = self.differentiable(self.loss(self.net(*self.inputs), self.targets))
            found = torch.autograd.grad(loss, [m.weight for m in layers], allow_unused=True)
        used = [i for i, g in enumerate(found) if g is not None]
        return LossPass(
            tuple(names[i] for i in used),
            tuple(layers[i].weight.detach() for i in used),
            tuple(g for g in found if g is not None),
            tuple(fisher[i] for i in used),
        )

    @cached_property
    def jacobian(self) -> Tensor:
        """(b, inputs) float64 gradient of the sum of all outputs by each sample's input.

        Integer inputs (tokens) have none: the output of the first layer with a floating one stands in for them.
        """
        first: list[Tensor] = []

        def start(module: nn.Module, args: Any, out: Any) -> Any:
            if not first and isinstance(out, Tensor) and out.is_floating_point():
                first.append(out.detach().requires_grad_(True))
                return first[0]
            return None

        leaves = [(m, "forward", start) for m in self.net.modules() if not list(m.children())]
        floating = all(x.is_floating_point() for x in self.inputs)
        sources = [x.detach().clone().requires_grad_(True) for x in self.inputs] if floating else list(self.inputs)
        with self.seeded(), hooked([] if floating else leaves):
            total = self.differentiable(self.net(*sources)).sum()
            wanted = sources if floating else first
            found = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
        return torch.cat([g.flatten(1) for g in found], dim=1).double()

    @cached_property
    def similarity(self) -> Tensor:
        """(b, b) float64 number of activations on whose side of zero two samples agree, over all layers."""
        return torch.stack([torch.zeros(len(self.targets), len(self.targets)).double(), *self.agreements]).sum(0)

    @cached_property
    def agreements(self) -> tuple[Tensor, ...]:
        """(b, b) float64 number of equal signs before each activation that ran, in order."""
        found: list[Tensor] = []

        def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            signs = torch.where(args[0].flatten(1) > 0, 1.0, -1.0)  # (b, units)
            found.append(0.5 * (signs.shape[1] + (signs @ signs.T).double()))

        hooks = [(m, "before", count) for m in self.net.modules() if isinstance(m, ACTIVATIONS)]
        self.forward(hooks)
        return tuple(found)

    @cached_property
    def attended(self) -> tuple[Attended, ...]:
        """Attention probabilities of every self-attention that ran."""
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in self.attentions}
        hooks: list[Hook] = []
        for name, module in self.attentions.items():
            for part in ("query", "key"):
                hooks.append((getattr(module, part), "forward", _into(parts[name], part)))
        self.forward(hooks)
        return tuple(
            Attended(name, _probabilities(self.attentions[name], part["query"], part["key"]))
            for name, part in parts.items()
            if len(part) == 2
        )

    def forward(self, hooks: Sequence[Hook] = ()) -> Tensor:
        """Outputs of one pass without gradients, under hooks."""
        with self.seeded(), hooked(hooks), torch.no_grad():
            return self.net(*self.inputs)


def _into(store: dict[str, Tensor], part: str) -> Callable[..., None]:
    def keep(module: nn.Module, args: Any, out: Tensor) -> None:
        store[part] = out

    return keep


def _fisher(activation: Tensor, gradient: Tensor, *, channels_last: bool) -> Tensor:
    """(channels,) from (b, channels, positions...), or (b, positions..., channels) with the channels last."""
    product = (activation * gradient).detach()
    product = product.movedim(-1, 1) if channels_last else product
    return product.flatten(2).sum(2).square().mean(0).mul(0.5) if product.ndim > 2 else product.square().mean(0) / 2


def _probabilities(module: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    """(b, heads, l, l) softmax of scaled scores, with fewer key heads and causal masks where the module has them."""
    size = int(getattr(module, "head_dim", query.shape[-1]))
    q = query.unflatten(2, (-1, size)).transpose(1, 2)
    k = key.unflatten(2, (-1, size)).transpose(1, 2)
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = q @ k.transpose(2, 3) / size**0.5
    if getattr(module, "causal", False):
        scores = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), float("-inf"))
    return scores.softmax(dim=-1)


def is_attention(module: nn.Module) -> TypeGuard[nn.Module]:
    """Whether a module has linear maps named `query` and `key`."""
    return all(isinstance(getattr(module, part, None), nn.Linear) for part in ("query", "key"))


def is_norm(module: nn.Module) -> bool:
    """Whether a module does nothing but normalise: a leaf with `Norm` in its class name."""
    return "Norm" in type(module).__name__ and not list(module.children())


@contextmanager
def hooked(hooks: Sequence[Hook]) -> Iterator[None]:
    """Hooks for a while: (module, `forward` or `before`, function)."""
    handles = [
        module.register_forward_hook(hook) if kind == "forward" else module.register_forward_pre_hook(hook)
        for module, kind, hook in hooks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention computed so that gradients of gradients exist."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


__all__ = ["ACTIVATIONS", "WEIGHTED", "Attended", "LossPass", "Probe", "hooked", "is_norm", "twice_differentiable"]
