"""Deformable convolution against a loop over pixels, its cost, and a small detector that trains with every variant."""

import itertools

import numpy as np
import pytest
import torch

from archwright.costs.line_buffer import LineBuffer
from archwright.errors import SpaceError
from archwright.nets.build import build
from archwright.operators.conv import Conv
from archwright.operators.deform_conv import DeformConv
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof

VARIANTS = [
    {"depthwise": d, "square": s, **more}
    for d, s in itertools.product((False, True), repeat=2)
    for more in ({}, {"bound": 2.0}, {"bound": 2.0, "rounded": True})
]


def name(variant):
    return "-".join(k if v is True else f"{k}{v:g}" for k, v in variant.items() if v) or "free"


def shaken(operator, channels, seed=0):
    torch.manual_seed(seed)
    net = operator.module((channels, 7, 6)).double().eval()
    with torch.no_grad():
        net.offset.weight.normal_(std=0.4)
        net.offset.bias.normal_(std=1.5)
    return net


def reference(net, x, operator):
    """Bilinear sampling and products pixel by pixel, from the offsets that the net computes before limits."""
    raw, weight = net.offset(x).detach().numpy(), net.conv.weight.detach().numpy()
    images, (k, s) = x.numpy(), (operator.kernel, operator.stride)
    b, channels, height, width = images.shape
    out_h, out_w = raw.shape[2:]
    out = np.zeros((b, weight.shape[0], out_h, out_w))

    def pixel(image, row, col):
        return image[:, row, col] if 0 <= row < height and 0 <= col < width else np.zeros(channels)

    for n, i, j, u, v in itertools.product(range(b), range(out_h), range(out_w), range(k), range(k)):
        down, right = u - k // 2, v - k // 2
        tap = u * k + v
        move = (
            (raw[n, 0, i, j] * down, raw[n, 0, i, j] * right)
            if operator.square
            else raw[n, 2 * tap : 2 * tap + 2, i, j]
        )
        if operator.bound is not None:
            move = [min(max(m, -operator.bound), operator.bound) for m in move]
        if operator.rounded:
            move = [round(float(m)) for m in move]
        row, col = i * s + down + move[0], j * s + right + move[1]
        top, left = int(np.floor(row)), int(np.floor(col))
        value = sum(
            (1 - abs(row - r)) * (1 - abs(col - c)) * pixel(images[n], r, c)
            for r in (top, top + 1) for c in (left, left + 1)
        )  # fmt: skip
        out[n, :, i, j] += weight[:, 0, u, v] * value if operator.depthwise else weight[:, :, u, v] @ value
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_every_variant_equals_a_bilinear_loop(variant, stride):
    operator = DeformConv(5, stride=stride, **variant)
    net = shaken(operator, 3)
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    taps = net.sampled(x).flatten(1, 2)
    found = torch.nn.functional.conv2d(taps, net.conv.weight.flatten(1)[:, :, None, None], groups=net.conv.groups)
    np.testing.assert_allclose(found.detach().numpy(), reference(net, x, operator), atol=1e-5)
    expected = net.act(net.norm(net.point(found)))
    torch.testing.assert_close(net(x), expected)


def test_without_offsets_it_is_an_ordinary_convolution():
    net = DeformConv(5, stride=2).module((3, 9, 8)).eval()
    x = torch.randn(2, 3, 9, 8)
    plain = torch.nn.functional.conv2d(x, net.conv.weight, stride=2, padding=1)
    torch.testing.assert_close(net(x), net.act(net.norm(plain)), rtol=1e-4, atol=1e-5)


def test_bounds_and_rounding_hold_and_pass_gradients():
    net = shaken(DeformConv(5, bound=1.0, rounded=True), 3).train()
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    moved = net.offsets(x)
    assert set(moved.unique().tolist()) == {-1.0, 0.0, 1.0}
    net(x).square().sum().backward()
    assert float(net.offset.weight.grad.abs().sum()) > 0


def test_bounded_and_rounded_variants_need_less_of_a_line_buffer_design():
    space = Space(Sequential((Conv(8), DeformConv(8, bound=oneof(None, 7.0, 2.0, name="bound")))))
    cost = LineBuffer(space, (3, 32, 32))
    found = {
        a.tree.parts[1].bound: {m: v[0] for m, v in cost.evaluate(np.asarray(a.code)[None]).items()}
        for a in space.enumerate()
    }
    assert found[2.0]["memory_reads_mb"] == found[7.0]["memory_reads_mb"] < found[None]["memory_reads_mb"]
    assert found[2.0]["line_buffer_mb"] < found[7.0]["line_buffer_mb"]
    assert found[2.0]["line_buffer_mb"] == pytest.approx(7 * 32 * 8 * 2 / 1e6)  # 3 lines of taps, 2 on either side


def test_images_of_one_line_and_bounds_of_nothing_are_refused():
    with pytest.raises(SpaceError, match="at least 2 x 2"):
        DeformConv(4).output((3, 1, 8))
    with pytest.raises(SpaceError, match="positive number of pixels"):
        DeformConv(4, bound=0.0).output((3, 8, 8))


def scenes(n, rng, size=16):
    """Images with one bright box on noise: (n, 1, size, size), centres (n, 2), heights and widths (n, 2)."""
    images = rng.normal(0, 0.3, size=(n, 1, size, size))
    sides = rng.choice([3, 5, 7], size=(n, 2))
    centres = np.stack([rng.integers(s // 2, size - s // 2) for s in sides])
    for image, centre, side in zip(images, centres, sides, strict=True):
        top, left = centre - side // 2
        image[0, top : top + side[0], left : left + side[1]] += 1
    return (torch.tensor(images, dtype=torch.float32), torch.tensor(centres), torch.tensor(sides, dtype=torch.float32))


def found_share(net, images, centres, sides):
    """Share of boxes with an overlap over union of at least a half (CenterNet's reading: peak, then its size)."""
    with torch.no_grad():
        out = net.eval()(images)
    peak = out[:, 0].flatten(1).argmax(1)
    guess = torch.stack([peak // 16, peak % 16], 1)
    size = out[torch.arange(len(out)), 1:, guess[:, 0], guess[:, 1]]
    low = torch.maximum(guess - size / 2, centres - sides / 2)
    high = torch.minimum(guess + size / 2, centres + sides / 2)
    both = (high - low).clamp_min(0).prod(1)
    return float((both / (size.clamp_min(0).prod(1) + sides.prod(1) - both) >= 0.5).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_a_small_detector_trains_with_every_variant(variant):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = Conv(3, kernel=1, norm="none", activation="identity")
    net = build(Sequential((Conv(16), DeformConv(16, **variant), DeformConv(16, **variant), head)), (1, 16, 16))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    test = scenes(300, np.random.default_rng(1))
    before = found_share(net, *test)
    for _ in range(250):
        images, centres, sides = scenes(32, rng)
        out = net.train()(images)
        at = out[torch.arange(32), 1:, centres[:, 0], centres[:, 1]]
        centre = torch.nn.functional.cross_entropy(out[:, 0].flatten(1), centres[:, 0] * 16 + centres[:, 1])
        loss = centre + 0.3 * torch.nn.functional.l1_loss(at, sides)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found_share(net, *test) > max(0.7, before + 0.5)
    layers = [m for m in net.modules() if hasattr(m, "offsets")]
    assert any(bool(m.offsets(torch.zeros(1, 16, 16, 16)).detach().any()) for m in layers) or variant.get("rounded")
