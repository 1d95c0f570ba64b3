"""ReLU, convolution and batch norm that keep the number of channels: what stands on the edges of cell spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.conv import Conv
from archwright.operators.rules import image, norm_axes
from archwright.registry import register


@register("operators", "same_conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class SameConv(Leaf):
    """ReLU-conv-BN with as many output as input channels (Dong and Yang, 2020, "NAS-Bench-201", section 2.1).

    Because the channels are not a field, one choice between such operators can be shared by all stages of a network.
    `activation_first` False gives conv-BN-ReLU (Ying et al., 2019, "NAS-Bench-101", section 2.1).
    """

    kernel: int = 3
    affine: bool = True
    activation_first: bool = True

    def _conv(self, inputs: tuple[Shape, ...]) -> Conv:
        channels, _ = image(self, inputs)
        return Conv(channels, self.kernel, activation_first=self.activation_first, affine=self.affine)

    def layer(self, *inputs: Shape) -> Layer:
        """That of `Conv`."""
        return self._conv(inputs).layer(*inputs)

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        return self._conv(inputs).output(*inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Those of `Conv`."""
        return self._conv(inputs).counts(*inputs)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The output channels are the input's."""
        norms = norm_axes("norm", "in")
        return {"conv.weight": ("in", "in"), **norms}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series."""
        return [
            (cls(), ((4, 6, 5),)),
            (cls(1), ((3, 5, 5),)),
            (cls(5, affine=False), ((4, 9),)),
            (cls(1, activation_first=False), ((4, 5),)),
        ]
