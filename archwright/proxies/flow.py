"""The pass behind SynFlow and LogSynFlow, run once for both."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from archwright.proxies.probe import WEIGHTED, Probe, is_norm, twice_differentiable

_done: WeakKeyDictionary[Probe, list[tuple[Tensor, Tensor]]] = WeakKeyDictionary()


def synaptic_flow(probe: Probe) -> list[tuple[Tensor, Tensor]]:
    """(|weights|, gradients of the summed outputs) of every layer, float64, for one input of ones without norms."""
    known = _done.get(probe)
    if known is None:
        known = _done[probe] = _flow(probe)
    return known


def _flow(probe: Probe) -> list[tuple[Tensor, Tensor]]:
    net = copy.deepcopy(probe.net).double()
    for module in net.modules():
        if is_norm(module):
            module.forward = nn.Identity().forward  # type: ignore[method-assign]
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.abs_()
    ones = [torch.ones_like(x[:1], dtype=torch.float64 if x.is_floating_point() else x.dtype) for x in probe.inputs]
    weights = [m.weight for m in net.modules() if isinstance(m, WEIGHTED)]
    with probe.seeded(), twice_differentiable():
        total = probe.differentiable(net(*ones)).sum()
        found = torch.autograd.grad(total, weights, allow_unused=True)
    return [(w.detach(), g) for w, g in zip(weights, found, strict=True) if g is not None]
