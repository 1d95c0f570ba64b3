"""Transformer encoders from a Hugging Face `config.json`: BERT and ViT shapes as kernels that every platform can cost.

The layers are PyTorch's `TransformerEncoderLayer` on the meta device, so kernels are found as those of any module.
Embedding tables are look-ups and cost nothing here; pooling heads and classifiers are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from archwright.costs.kernels import Kernels, kernels_of_module
from archwright.errors import ConfigurationError

TEXT = frozenset({"bert", "camembert", "deberta", "distilbert", "electra", "roberta", "xlm-roberta"})
IMAGES = frozenset({"beit", "deit", "vit"})


class _Patches(nn.Module):
    """Patches and a class token through layers."""

    def __init__(self, patches: nn.Conv2d, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.patches, self.layers = patches, nn.Sequential(*layers)
        self.first = nn.Parameter(torch.zeros(1, 1, patches.out_channels))

    def forward(self, x: torch.Tensor) -> Any:
        """(b, c, h, w) -> (b, patches + 1, width)."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        return self.layers(torch.cat([self.first.expand(len(y), -1, -1), y], dim=1))


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether a configuration names an encoder that can be read here."""
    return config.get("model_type") in TEXT | IMAGES


def kernels_of_encoder(config: Mapping[str, Any], tokens: int = 512) -> Kernels:
    """Kernels of one pass; all belong to row 0.

    Args:
        config: entries of a `config.json`.
        tokens: of a text; images have one a patch and one for the class.

    Raises:
        ConfigurationError: if an entry is missing or no positive integer, or heads do not divide the width.
    """

    def entry(*names: str, default: int | None = None) -> int:
        value = next((config[n] for n in names if config.get(n) is not None), default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{' or '.join(names)} of a configuration is a positive integer, got {value!r}")
        return value

    width, heads = entry("hidden_size", "dim"), entry("num_attention_heads", "n_heads")
    if width % heads:
        raise ConfigurationError(f"hidden_size must be a multiple of the {heads} heads, got {width}")
    layers, hidden = entry("num_hidden_layers", "n_layers"), entry("intermediate_size", "hidden_dim", default=4 * width)
    with torch.device("meta"):
        stack = [
            nn.TransformerEncoderLayer(width, heads, hidden, activation="gelu", batch_first=True) for _ in range(layers)
        ]
        if config.get("model_type") in TEXT:
            return kernels_of_module(nn.Sequential(*stack), (tokens, width))
        size, patch = entry("image_size", default=224), entry("patch_size", default=16)
        colours = entry("num_channels", default=3)
        return kernels_of_module(_Patches(nn.Conv2d(colours, width, patch, patch), stack), (colours, size, size))
