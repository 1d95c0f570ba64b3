"""How a network is trained, as a value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from archwright.errors import ConfigurationError


@dataclass(frozen=True)
class Recipe:
    """Training recipe.

    Attributes:
        optimizer: sgd (Nesterov momentum) or adamw.
        lr: peak learning rate, for `batch` examples a step.
        weight_decay: applied to tensors of two and more dimensions only; norms and biases are not decayed.
        momentum: of sgd; the first moment's of adamw.
        epochs: length of the whole schedule; training may stop earlier and go on later.
        batch: examples a step.
        schedule: `cosine` to zero after a linear warm-up, or `bignas`: exponential decay to 5 % with a constant tail
            (Yu et al., 2020, section 3.2).
        warmup: share of the steps in which the rate rises linearly.
        label_smoothing: of classification losses.
        mixup: alpha of the Beta distribution by which pairs of training examples and their losses are mixed (Zhang et
            al., 2018, "mixup"), 0 = off; where a network is trained alone on inputs that are numbers.
        clip: largest norm of the gradient, 0 = off.
        augment: whether the task's augmentation is applied.
        ema: decay of an average of the weights that is kept beside them and used for evaluation, 0 = off.
        channels_last: memory format of image networks; convolutions run 1.4 to 1.7 times faster with it on CPU.
    """

    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = 5e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    epochs: int = 20
    batch: int = 64
    schedule: Literal["cosine", "bignas"] = "cosine"
    warmup: float = 0.05
    label_smoothing: float = 0.0
    mixup: float = 0.0
    clip: float = 1.0
    augment: bool = True
    ema: float = 0.0
    channels_last: bool = True

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise ConfigurationError(f"a recipe's optimizer is sgd or adamw, got {self.optimizer!r}")
        if self.schedule not in ("cosine", "bignas"):
            raise ConfigurationError(f"a recipe's schedule is cosine or bignas, got {self.schedule!r}")
        for name, low, high in (
            ("lr", 0.0, math.inf),
            ("weight_decay", 0.0, math.inf),
            ("momentum", 0.0, 1.0),
            ("epochs", 1, math.inf),
            ("batch", 1, math.inf),
            ("warmup", 0.0, 1.0),
            ("label_smoothing", 0.0, 1.0),
            ("mixup", 0.0, math.inf),
            ("clip", 0.0, math.inf),
            ("ema", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not (low <= value <= high and math.isfinite(value)):
                raise ConfigurationError(f"a recipe's {name} must lie in [{low}, {high}], got {value}")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step out of `steps` in the whole schedule."""
        rise = max(1, round(self.warmup * steps)) if self.warmup else 0
        if step < rise:
            return self.lr * (step + 1) / rise
        done = (step - rise) / max(1, steps - rise)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        return self.lr * max(0.05, math.exp(-4.0 * done))

    def optimizer_for(self, net: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer of the network's trainable parameters."""
        trained = [p for p in net.parameters() if p.requires_grad]
        if not trained:
            raise ConfigurationError("the network has no trainable parameters; there is nothing to train")
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [g for g in groups if g["params"]]
        # The fused kernels are 5 times faster on small networks. They need gradients in the memory layout of their
        # parameters, which `backward` guarantees.
        fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in trained)
        if self.optimizer == "sgd":
            sgd = torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=fused)
            for p in trained if self.momentum else ():  # the fused step wants all momenta or none
                sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
            return sgd
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.momentum, 0.999), fused=fused)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


__all__ = ["Recipe"]
