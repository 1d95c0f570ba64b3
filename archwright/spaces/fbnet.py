"""The layer-wise space of FBNet (Wu et al., 2019, section 3.1, tables 1 and 2): 22 layers, nine candidates each.

Candidates are inverted residuals with kernel 3 or 5 and expansion 1, 3 or 6, at expansion 1 also with two groups and a
channel shuffle, and `skip`. Where a layer changes the size or the channels, `skip` is a 1x1 convolution, as in the
published code and in the latency tables, whose order of candidates is kept.
"""

from __future__ import annotations

from typing import Any

from archwright.operators.base import Operator, Shape
from archwright.operators.conv import Conv
from archwright.operators.grouped_mbconv import GroupedMBConv
from archwright.operators.head import Classifier
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof

OPERATORS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))


def block(name: str, channels: int, stride: int, same: bool) -> Operator:
    """One of the candidates by its published name; `same` says that the layer keeps size and channels."""
    if name == "skip":
        return Skip() if same else Conv(channels, 1, stride)
    kernel, expand, *groups = (int(part[1:]) for part in name.split("_"))
    return GroupedMBConv(channels, kernel, stride, expand, groups=groups[0] if groups else 1)


@register(
    "spaces",
    "fbnet",
    labels={
        "family": "macro",
        "inputs": "images, series",
        "small": {"stages": ((4, 1, 1), (8, 2, 2)), "stem": 4, "head": 16},
    },
)
def fbnet(
    input_shape: Shape,
    outputs: int,
    *,
    stages: tuple[tuple[int, int, int], ...] = STAGES,
    stem: int = 16,
    stem_stride: int = 2,
    head: int = 1984,
    operators: tuple[str, ...] = OPERATORS,
) -> Space:
    """The 9^22 networks of FBNet on ImageNet; code k of decision `layerI` is candidate k of `OPERATORS`.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        stages: channels, layers and stride of the first layer of each stage; channels must be even.
        stem: channels of the first convolution.
        stem_stride: of the first convolution; 1 for small images.
        head: channels of the last convolution; 1504 in FBNet-A, 1984 in FBNet-B and FBNet-C.
        operators: published names of the candidates.
    """
    parts: list[Any] = [Conv(stem, stride=stem_stride)]
    before, layer = stem, 0
    for channels, depth, first in stages:
        for i in range(depth):
            stride = first if i == 0 else 1
            same = stride == 1 and before == channels
            parts.append(oneof(*(block(n, channels, stride, same) for n in operators), name=f"layer{layer}"))
            before, layer = channels, layer + 1
    return Space(Sequential((*parts, Conv(head, 1), Classifier(outputs))))
