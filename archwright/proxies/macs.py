"""Multiply-accumulates of one sample, the baseline that few proxies beat (White et al., 2022, "A deeper look")."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "macs", labels={"cost": "forward of one sample", "data": False})
def macs(probe: Probe) -> float:
    """Multiply-accumulates of convolutions and matrix products, in millions."""
    program = getattr(probe.net, "program", None)
    if program is not None:
        return sum(step.leaf.counts(*step.input_shapes).macs for step in program.steps) / 1e6
    counter = FlopCounterMode(display=False)
    mode = probe.net.training
    try:
        with counter, torch.no_grad():
            probe.net.eval()(*[x[:1] for x in probe.inputs])
    finally:
        probe.net.train(mode)
    return counter.get_total_flops() / 2e6
