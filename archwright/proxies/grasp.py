"""GraSP: Wang et al., "Picking Winning Tickets Before Training by Preserving Gradient Flow" (2020), equation 8.

-(H g) . w over all weights: how much removing a weight lowers the gradient flow. Costs a second derivative. The sign is
that of Abdelfattah et al. (2021), equation 1.
"""

from __future__ import annotations

import torch

from archwright.proxies.probe import Probe, twice_differentiable
from archwright.registry import register


@register("proxies", "grasp", labels={"cost": "second derivative", "data": True})
def grasp(probe: Probe) -> float:
    """Minus the sum of (Hessian x gradient) x weight."""
    weights = [m.weight for m in probe.layers.values()]
    with probe.seeded(), twice_differentiable():
        loss = probe.differentiable(probe.loss(probe.net(*probe.inputs), probe.targets))
        found = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        flow = torch.stack([(g * g.detach()).sum() for g in found if g is not None]).sum()
        second = torch.autograd.grad(flow, weights, allow_unused=True)
    return -sum(float((h * w.detach()).sum()) for h, w in zip(second, weights, strict=True) if h is not None)
