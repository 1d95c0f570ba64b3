"""An ensemble of small perceptrons, optionally pre-trained on numbers that cost nothing.

Architecture and pre-training of Dai et al., "FBNetV3" (2021), section 3.2: an encoder shared by a head for free
statistics (parameters, MACs) and a head for the label; the encoder is first trained on the statistics of many
unlabelled architectures, then everything on the labels, Huber loss. Ensemble for the uncertainty as in BANANAS (White
et al., 2021). All members are trained at once as batched matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.predictors.encoding import Extra, encoder_of
from archwright.registry import register
from archwright.space import Architectures, Space


class BatchedLinear(nn.Module):
    """One linear layer of every member."""

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter((torch.rand(members, inputs, outputs, generator=generator) * 2 - 1) * bound)
        self.bias = nn.Parameter((torch.rand(members, 1, outputs, generator=generator) * 2 - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """(members, n, inputs) -> (members, n, outputs)."""
        return torch.baddbmm(self.bias, x, self.weight)


class Body(nn.Module):
    """The encoder: two hidden layers."""

    def __init__(self, members: int, inputs: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = BatchedLinear(members, inputs, hidden, generator)
        self.second = BatchedLinear(members, hidden, hidden, generator)

    def forward(self, x: Tensor) -> Tensor:
        """(members, n, inputs) -> (members, n, hidden)."""
        return nn.functional.silu(self.second(nn.functional.silu(self.first(x))))


@register("predictors", "mlp", labels={"family": "neural", "uncertainty": True})
class Perceptrons:
    """An ensemble of perceptrons.

    Args:
        space: of the architectures.
        seed: of the initial weights.
        extra: further free columns.
        members: of the ensemble.
        hidden: units of both hidden layers.
        steps: of Adam on the labels, all at once.
        structural: read the graph of the network where the space has one.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        members: int = 5,
        hidden: int = 64,
        steps: int = 200,
        structural: bool = True,
    ) -> None:
        self._encoder = encoder_of(space, extra, structural=structural)
        self._seed, self._members, self._hidden, self._steps = seed, members, hidden, steps
        self._pretrained: dict[str, Tensor] | None = None

    def _generator(self, salt: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed * 1009 + salt)

    def _inputs(self, architectures: Architectures) -> Tensor:
        matrix = torch.from_numpy(self._encoder.matrix(architectures))
        return matrix.expand(self._members, *matrix.shape)

    def pretrain(self, architectures: Architectures, statistics: np.ndarray, steps: int = 400) -> Perceptrons:
        """Train the encoder to say free statistics; the head for them is thrown away.

        Args:
            architectures: n unlabelled ones.
            statistics: (n, k) such as parameters and MACs.
            steps: of Adam.
        """
        x = self._inputs(architectures)
        y = torch.from_numpy(_standardised(np.asarray(statistics, dtype=np.float32))[0])
        generator = self._generator(1)
        body = Body(self._members, x.shape[2], self._hidden, generator)
        head = BatchedLinear(self._members, self._hidden, y.shape[1], generator)
        _train([body, head], lambda: head(body(x)), y.expand(self._members, *y.shape), steps)
        self._pretrained = {k: v.detach().clone() for k, v in body.state_dict().items()}
        return self

    def fit(self, architectures: Architectures, values: np.ndarray) -> Perceptrons:
        """Learn from n architectures with values (n,); a pre-trained encoder is the starting point."""
        x = self._inputs(architectures)
        scaled, self._shift, self._unit = _standardised(np.asarray(values, dtype=np.float32)[:, None])
        generator = self._generator(2)
        self._body = Body(self._members, x.shape[2], self._hidden, generator)
        if self._pretrained is not None:
            self._body.load_state_dict(self._pretrained)
        self._head = BatchedLinear(self._members, self._hidden, 1, generator)
        target = torch.from_numpy(scaled).expand(self._members, *scaled.shape)
        _train([self._body, self._head], lambda: self._head(self._body(x)), target, self._steps)
        return self

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,) of the members."""
        with torch.no_grad():
            found = self._head(self._body(self._inputs(architectures)))[:, :, 0].double().numpy()
        mean = found.mean(axis=0) * self._unit[0] + self._shift[0]
        return mean, (found.std(axis=0) + 1e-6) * self._unit[0]


def _standardised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shift, unit = values.mean(axis=0), values.std(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    return ((values - shift) / unit).astype(np.float32), shift, unit


def _train(modules: list[Any], output: Any, target: Tensor, steps: int) -> None:
    parameters = [p for m in modules for p in m.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        # summed over members, so that each is trained as if alone
        loss = nn.functional.huber_loss(output(), target, reduction="none").mean(dim=(1, 2)).sum()
        loss.backward()
        optimiser.step()
        schedule.step()
