"""Head confidence: Serianni and Kalita, "Training-free NAS for RNNs and Transformers" (2023), "attention confidence".

The largest output of each feature of the query, key and value maps over the tokens of a sequence, mean over samples and
features, summed over all such maps: the best of the training-free scores on their table of 500 BERT-like networks
(beside the number of parameters). NaN without self-attention.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "head_confidence", labels={"cost": "forward", "data": True, "for": "attention"})
def head_confidence(probe: Probe) -> float:
    """Largest head output over tokens, mean within a map, summed over maps."""
    found: list[float] = []

    def keep(module: nn.Module, args: Any, out: Tensor) -> None:
        found.append(float(out.amax(dim=1).mean()))

    maps = [
        (getattr(module, part), "forward", keep)
        for module in probe.attentions.values()
        for part in ("query", "key", "value")
        if isinstance(getattr(module, part, None), nn.Module)
    ]
    probe.forward(maps)
    return sum(found) if found else float("nan")
