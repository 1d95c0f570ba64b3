"""Networks that round inside differ from their exports by whole steps; other faults are still found."""

import numpy as np
import pytest
import torch

from archwright.errors import ExportError
from archwright.export import onnx
from archwright.export.verify import unsteadiness
from archwright.nets import build
from archwright.operators.conv import Conv
from archwright.operators.sequential import Sequential
from archwright.spaces.quantnas import quantnas

SHAPE = (3, 16, 16)


def rounding(**sizes):
    space = quantnas(SHAPE, 3, **sizes)
    return build(space.sample(1, np.random.default_rng(1))[0], SHAPE, seed=1).eval()


def test_only_networks_that_round_are_unsteady():
    x = torch.randn(16, *SHAPE)
    plain = build(Sequential((Conv(8), Conv(8), Conv(3))), SHAPE).eval()
    assert unsteadiness(plain, (x,)) < 1e-5
    assert unsteadiness(rounding(channels=16, cells=3), (x,)) > 10 * onnx.TOLERANCE


@pytest.mark.slow
def test_a_rounding_network_is_exported_and_another_one_is_still_refused(tmp_path):
    path, net = tmp_path / "net.onnx", rounding(channels=8, cells=1, depth=2)
    onnx.export_onnx(net, path)
    arguments = (path, ("input",), (SHAPE,), None, onnx.TOLERANCE)
    onnx._verify(net, *arguments)
    with torch.no_grad():
        next(p for n, p in net.named_parameters() if "conv.weight" in n).mul_(-1.0)
    with pytest.raises(ExportError, match="something else"):
        onnx._verify(net, *arguments)
