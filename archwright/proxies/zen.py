"""Zen-score: Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Deep Image Recognition" (2021), algorithm 1.

Weights and inputs are Gaussian; the score is log E|f(x) - f(x + 0.01 e)| of the features before the global pool, plus
the logarithms of the standard deviations that batch norms divide by. Averaged over `REPEATS` draws (32 in the paper).
NaN if the features do not depend on the input.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.proxies.probe import WEIGHTED, Probe, hooked
from archwright.registry import register

GAMMA = 0.01
REPEATS = 4


@register("proxies", "zen", labels={"cost": "forward", "data": False})
def zen(probe: Probe) -> float:
    """Logarithm of the expressivity of the features, mean over draws."""
    net = copy.deepcopy(probe.net)
    found = []
    with probe.seeded(), torch.no_grad():
        for _ in range(REPEATS):
            _gaussian(net)
            found.append(_draw(net, [x for x in probe.inputs]))
    return sum(found) / len(found)


def _gaussian(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _draw(net: nn.Module, inputs: list[Tensor]) -> float:
    scales: list[Tensor] = []
    features: list[Tensor] = []

    def spread(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        axes = [0, *range(2, args[0].ndim)]
        scales.append(args[0].var(dim=axes, unbiased=False).mean().sqrt())

    def feature(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args and (args[0].ndim >= 3 or not features or features[-1].ndim < 3):
            features.append(args[0])

    leaves = [(m, "before", feature) for m in net.modules() if not list(m.children())]
    norms = [(m, "before", spread) for m in net.modules() if isinstance(m, _BatchNorm)]
    x = [torch.randn_like(i) if i.is_floating_point() else i for i in inputs]
    with hooked([*leaves, *norms]):
        net(*x)
    clean, scale = features[-1], sum(float(s.clamp_min(1e-30).log()) for s in scales)
    features.clear()
    with hooked(leaves):
        net(*[i + GAMMA * torch.randn_like(i) if i.is_floating_point() else i for i in x])
    moved = float((clean - features[-1]).abs().flatten(1).sum(1).mean())
    return math.log(moved) + scale if 0.0 < moved < math.inf else math.nan
