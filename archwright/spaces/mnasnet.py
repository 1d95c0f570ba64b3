"""The factorised hierarchical space of MnasNet (Tan et al., 2019, section 4.1).

A network is a row of blocks around the layers of MobileNetV2. Each block chooses a convolution (plain, depthwise
separable, inverted residual of expansion 3 or 6), kernel, squeeze-and-excitation, skip, width and number of layers; all
layers of a block are equal, but for the first one's stride. That makes 4 x 2 x 2 x 3 x 3 x 3 = 432 settings a block,
the S = 432 of the paper. A block of one layer may be left out, and has no settings then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.operators.base import Composite, Example, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.pool import AvgPool
from archwright.operators.residual import Shortcut
from archwright.operators.rules import member
from archwright.operators.sequential import Sequential
from archwright.operators.squeeze_excite import SqueezeExcite
from archwright.registry import register
from archwright.space import Space, oneof, repeat

# channels, layers and stride of the blocks of MobileNetV2 (Sandler et al., 2018, table 2)
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
SKIPS = ("none", "identity", "pool")
GATE = 0.25  # channels that squeeze-and-excitation keeps, as a share of the block's inputs
OPERATORS = ("conv", "conv_se", "sep", "sep_se", "mb3", "mb3_se", "mb6", "mb6_se")


@dataclass(frozen=True)
class MnasLayer(Composite):
    """A convolution by its name and a skip around it.

    `like` is the plain convolution: its channels, kernel and stride are those of whatever is chosen, so that layers of
    one block share their decisions although their strides differ. The skip is added where the shapes agree.
    """

    name: str
    like: Conv
    skip: str = "none"

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Convolve, then add what the skip brings."""
        member(self, "name", self.name, OPERATORS)
        member(self, "skip", self.skip, SKIPS)
        y = run(self.inner(self.name, self._convolution()), *inputs)
        if self.name == "conv_se":
            y = run(self.inner("conv_se_gate", SqueezeExcite(GATE)), y)
        if self.skip == "none" or (self.skip == "identity" and self.like.stride > 1):
            return y
        x = inputs[0]
        if self.skip == "pool":
            x = run(self.inner("pool", AvgPool(3, self.like.stride)), x)
        return run(self.inner("add", Shortcut()), y, x)

    def _convolution(self) -> Operator:
        if self.name.startswith("conv"):
            return self.like
        expand = 1 if self.name.startswith("sep") else int(self.name[2])
        se = GATE / expand if self.name.endswith("_se") else 0.0
        like = self.like
        return MBConv(like.channels, like.kernel, like.stride, expand, se=se, activation="relu", residual=False)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every convolution with every skip."""
        return [(cls(name, Conv(4, 3, 2), skip), ((4, 6, 6),)) for name in OPERATORS for skip in SKIPS]


@register(
    "spaces",
    "mnasnet",
    labels={
        "family": "macro",
        "inputs": "images, series",
        "small": {"stages": ((8, 1, 1), (8, 2, 2)), "stem": 8, "head": 16},
    },
)
def mnasnet(
    input_shape: Shape,
    outputs: int,
    *,
    stages: tuple[tuple[int, int, int], ...] = STAGES,
    widths: tuple[float, ...] = (0.75, 1.0, 1.25),
    kernels: tuple[int, ...] = (3, 5),
    operators: tuple[str, ...] = OPERATORS,
    stem: int = 32,
    stem_stride: int = 2,
    head: int = 1280,
    multiple: int = 4,
) -> Space:
    """The 432^5 x 289^2 networks around MobileNetV2.

    Further layers are counted by `layersB`: one less, as many, or one more than in MobileNetV2.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        stages: channels, layers and stride of each block; one layer more or less is offered. Blocks of one layer must
            have stride 1.
        widths: of a block as multiples of its channels.
        kernels: of a block.
        operators: names of the convolutions.
        stem: channels of the first convolution.
        stem_stride: of the first convolution; 1 for small images.
        head: channels of the last convolution.
        multiple: to which channels are rounded.
    """
    parts: list[Any] = [Conv(stem, stride=stem_stride)]
    for b, (base, layers, stride) in enumerate(stages):
        sizes = tuple(dict.fromkeys(max(multiple, round(base * w / multiple) * multiple) for w in widths))
        channels, kernel = oneof(*sizes, name=f"width{b}"), oneof(*kernels, name=f"kernel{b}")
        skip = oneof(*SKIPS, name=f"skip{b}")
        name = oneof(*operators, name=f"op{b}")
        first, further = (MnasLayer(name, Conv(channels, kernel, s), skip) for s in (stride, 1))
        if layers > 1:
            times = oneof(layers - 2, layers - 1, layers, name=f"layers{b}")
            parts += [first, repeat(further, times=times)]
        else:
            parts.append(repeat(further, times=oneof(0, 1, 2, name=f"layers{b}")))
    return Space(Sequential((*parts, Conv(head, 1), Classifier(outputs))))
