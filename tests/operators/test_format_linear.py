"""Number formats as choices: the operator, what it costs, and the file it is saved to."""

import numpy as np
import pytest
import torch

from archwright.costs.bit_policy import BitPolicy
from archwright.costs.packing import pack, packed_bytes, unpack
from archwright.errors import ConfigurationError, ExportError
from archwright.export.packed import load_packed, save_packed
from archwright.formats import FORMATS, quantize
from archwright.nets.build import build
from archwright.operators.conv import Conv
from archwright.operators.format_linear import FormatLinear, FormatLinearLayer, _literal
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.quantized_conv import QuantizedConv
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof

LISTED = ("mxint8", "mxint6", "mxint4", "mxfp8", "mxfp6", "mxfp4", "nvfp4", "nvint4")


@pytest.mark.parametrize("name", FORMATS)
def test_the_module_rounds_exactly_as_the_formats_do(name):
    f = FORMATS[name]
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 7, 70)) * 10.0 ** rng.integers(-4, 4, size=(3, 7, 1))
    net = FormatLinearLayer(70, 2, _literal(f), _literal(f))
    found = net.rounded(torch.from_numpy(values), *_literal(f)).numpy()
    for ours, whole in zip(found, values, strict=True):
        np.testing.assert_allclose(ours, quantize(whole, f), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FORMATS)
def test_packed_bytes_are_counted_and_give_the_values_back(name):
    f = FORMATS[name]
    values = np.random.default_rng(1).normal(size=(9, 70))
    packed = pack(values, f)
    assert sum(a.nbytes for a in packed.values()) == packed_bytes(values.shape, f)
    np.testing.assert_allclose(unpack(packed, values.shape, f), quantize(values, f), rtol=1e-6)


def space():
    """Each layer chooses its format, or float; SimQ-NAS's bit policy beside elastic widths."""
    body = (
        Linear(256, "relu"),
        oneof(
            Linear(oneof(256, 384, name="width_float"), "relu"),
            FormatLinear(oneof(256, 384, name="width"), oneof(*LISTED, name="weights"), oneof(*LISTED, name="inputs")),
        ),
        oneof(Linear(64), FormatLinear(64, oneof("int8", "int4", name="second"), "int8")),
        Classifier(10),
    )  # fmt: skip
    return Space(Sequential(body))


def test_formats_are_choices_and_bit_operations_follow_them():
    s = space()
    cost = BitPolicy(s, (96,), bits=16)
    archs = s.sample(60, np.random.default_rng(0))
    found = cost.evaluate(archs)
    for a, gbops in zip(archs, found["bit_operations_gbops"], strict=True):
        second, third = a.tree.parts[1:3]
        expected = 96 * 256 * 16 * 16
        for layer, into, out in ((second, 256, second.features), (third, second.features, 64)):
            w, i = (16, 16) if isinstance(layer, Linear) else (FORMATS[n].bits for n in (layer.weights, layer.inputs))
            expected += into * out * w * i
        assert gbops == pytest.approx((expected + 64 * 10 * 256) / 1e9)
    assert len({a.tree.parts[1].weights for a in archs if isinstance(a.tree.parts[1], FormatLinear)}) == len(LISTED)


def test_the_counted_size_is_that_of_the_saved_file_within_two_percent(tmp_path):
    s = space()
    cost = BitPolicy(s, (96,))
    archs = s.sample(12, np.random.default_rng(3))
    for a, size_mb in zip(archs, cost.evaluate(archs)["size_mb"], strict=True):
        saved = save_packed(build(a, (96,)), tmp_path / "net.safetensors")
        assert saved == pytest.approx(1e6 * size_mb, rel=0.02), str(a)


def conv_net(bits):
    layers = (Conv(24), QuantizedConv(128, bits=bits), QuantizedConv(128, bits=8), Classifier(10))
    return Sequential(layers)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_saved_network_gives_the_same_outputs_and_its_size_is_counted(tmp_path, bits):
    torch.manual_seed(0)
    net, other = (build(conv_net(bits), (3, 8, 8)).eval() for _ in range(2))
    saved = save_packed(net, tmp_path / "net.safetensors")
    load_packed(other, tmp_path / "net.safetensors")
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(other(x), net(x), rtol=1e-4, atol=1e-5)
    counted = BitPolicy(Space(conv_net(bits)), (3, 8, 8)).evaluate(np.zeros((1, 0), dtype=np.int16))["size_mb"][0]
    assert saved == pytest.approx(1e6 * counted, rel=0.02)
    with pytest.raises(ExportError, match="has no tensor"):
        load_packed(build(conv_net(bits), (3, 8, 8)), _without_a_tensor(tmp_path))


def _without_a_tensor(folder):
    from safetensors.numpy import load_file, save_file

    state = load_file(str(folder / "net.safetensors"))
    save_file(dict(list(state.items())[3:]), str(folder / "less.safetensors"))
    return folder / "less.safetensors"


def test_gradients_go_straight_through():
    net = FormatLinear(4, "mxfp4", "nvint4").module((40,))
    x = torch.randn(2, 40, requires_grad=True)
    net(x).sum().backward()
    rounded = net.rounded(net.linear.weight[None], *net.weights)[0]
    torch.testing.assert_close(x.grad, rounded.sum(0).expand(2, -1))


def test_an_unknown_format_is_named():
    with pytest.raises(ConfigurationError, match="did you mean 'mxint8'"):
        FormatLinear(4, "mxint9").output((8,))
