"""Hidden covariance: Serianni and Kalita, "Training-free Neural Architecture Search for RNNs and Transformers" (2023).

Section 3.1, equations 4 and 5: the hidden states of a mini-batch are stacked, their correlation over samples R has the
eigenvalues v, and the score is -sum(log(v + k) + 1 / (v + k)), k = 1e-5. The mean over recurrent layers; networks
without any are scored on the token sequences (b, l, d) that their layers put out. The published code correlates
hidden units instead of samples. NaN without a sequence.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from archwright.proxies.correlation import correlation_score
from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "hidden_cov", labels={"cost": "forward", "data": True, "for": "sequences"})
def hidden_cov(probe: Probe) -> float:
    """Eigenvalue score of the correlations of hidden states, mean over layers."""
    states: list[Tensor] = []

    def recurrent(module: nn.Module, args: Any, out: Any) -> None:
        hidden = out[0] if isinstance(out, tuple) else out
        first = getattr(module, "batch_first", True)
        states.append(hidden if first else hidden.transpose(0, 1))

    def tokens(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim == 3:
            states.append(out)

    layers = [m for m in probe.net.modules() if isinstance(m, nn.RNNBase) or getattr(m, "is_recurrent", False)]
    named = [(m, "forward", recurrent) for m in layers]
    leaves = [(m, "forward", tokens) for m in probe.net.modules() if not list(m.children())]
    probe.forward(named or leaves)
    scores = [correlation_score(s.flatten(1)) for s in states if len(s) == len(probe.targets)]
    known = torch.tensor([s for s in scores if math.isfinite(s)])
    return float(known.mean()) if len(known) else math.nan
