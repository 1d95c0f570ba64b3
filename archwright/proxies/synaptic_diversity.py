"""Synaptic diversity: Zhou et al., "Training-free Transformer Architecture Search" (2022), equation 4.

The nuclear norm of each attention map's weight times that of its gradient, summed. Convolutions within an attention are
no maps. NaN without self-attention.
"""

from __future__ import annotations

import torch

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "synaptic_diversity", labels={"cost": "gradient", "data": True, "for": "attention"})
def synaptic_diversity(probe: Probe) -> float:
    """Sum over attention maps of the nuclear norms of weight and gradient, multiplied."""
    found = probe.loss_pass
    heads = tuple(f"{name}." for name in probe.attentions)
    rows = zip(found.names, found.weights, found.gradients, strict=True)
    maps = [(w, g) for name, w, g in rows if heads and name.startswith(heads) and w.ndim == 2]
    norm = torch.linalg.matrix_norm
    scores = [float(norm(w, "nuc") * norm(g, "nuc")) for w, g in maps]
    return sum(scores) if scores else float("nan")
