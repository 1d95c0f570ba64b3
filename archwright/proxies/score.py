"""Several proxies of one network at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from archwright.proxies.probe import Loss, Probe
from archwright.registry import get


def score(
    net: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    targets: Tensor,
    proxies: Sequence[str],
    *,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
) -> Mapping[str, float]:
    """Scores of an untrained network on one batch; passes that proxies have in common run once.

    Args:
        net: left as it is.
        inputs: (b, ...), or one of each input.
        targets: (b, ...).
        proxies: registered names.
        loss: of outputs and targets; cross entropy by default, for classes.
        seed: of all draws.

    Returns:
        proxy -> score; NaN where a proxy cannot say.

    Raises:
        ConfigurationError: if a proxy is unknown.
        EvaluationError: if the network has no gradient.
    """
    functions = {name: get("proxies", name) for name in proxies}
    probe = Probe(net, [inputs] if isinstance(inputs, Tensor) else inputs, targets, loss, seed=seed)
    return {name: float(function(probe)) for name, function in functions.items()}
