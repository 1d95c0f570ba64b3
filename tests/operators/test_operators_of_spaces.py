"""What the operators of published spaces compute, against plain formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.nets import build
from archwright.operators import Attention, MBConv
from archwright.operators.factorized_conv import FactorizedConv
from archwright.operators.grouped_mbconv import GroupedMBConv
from archwright.operators.linear_attention import LinearAttention
from archwright.operators.max_pool_mixer import EffAttention, MaxPoolMixer
from archwright.operators.nothing import UnlessRead
from archwright.operators.residual_reduction import ResidualReduction, TokenReduction
from archwright.operators.sharp_sep_conv import SharpSepConv
from archwright.spaces import sharpdarts


def test_linear_attention_is_the_quadratic_formula_of_cosformer():
    torch.manual_seed(0)
    length, dim, heads = 7, 4, 3
    module = LinearAttention(heads, dim, qkv_bias=True).module((length, 8)).double().eval()
    x = torch.randn(2, length, 8, dtype=torch.float64)
    q, k, v = (
        getattr(module, name)(x).reshape(2, length, heads, dim).permute(0, 2, 1, 3)
        for name in ("query", "key", "value")
    )
    i = torch.arange(length, dtype=torch.float64)
    decay = torch.cos(torch.pi / 2 * (i[:, None] - i[None, :]) / length)  # Qin et al., 2022, equation 9
    scores = (q.relu() @ k.relu().transpose(2, 3)) * decay
    expected = (scores / scores.sum(3, keepdim=True).clamp_min(1e-6)) @ v  # a query of zeros reads nothing
    expected = module.out(expected.permute(0, 2, 1, 3).reshape(2, length, heads * dim))
    assert torch.allclose(module(x), expected, rtol=1e-10, atol=1e-12)


def test_linear_attention_costs_less_than_softmax_exactly_where_tokens_outnumber_twice_a_heads_features():
    for length, cheaper in ((63, False), (64, False), (65, True), (1024, True)):
        linear = LinearAttention(4, 32).counts((length, 64)).macs
        softmax = Attention(4, head_dim=32).counts((length, 64)).macs
        assert (linear < softmax) is cheaper


@pytest.mark.parametrize("name", sharpdarts.OPERATORS[3:])
@pytest.mark.parametrize("channels", [8, 16])
def test_sharp_convolutions_have_the_published_channels_between_their_halves(name, channels):
    module = sharpdarts.sharp_candidate(name, channels, 2).module((channels, 9, 9))
    middle = 4 * channels if "flood" in name else 32 if "choke" in name else channels
    assert module.first[2].out_channels == middle
    assert module.first[1].dilation == ((2, 2) if "dil" in name else (1, 1)) and module.second[1].dilation == (1, 1)
    assert module.first[1].stride == (2, 2) and module.second[1].stride == (1, 1)


def test_sharp_convolution_counted_by_hand():
    counts = SharpSepConv(8, 3, ratio=4, affine=False).counts((6, 5, 5))
    assert counts.params == 6 * 9 + 6 * 32 + 32 * 9 + 32 * 8
    assert counts.macs == counts.params * 25


def test_max_pool_mixer_of_tokens_pools_their_grid_and_has_no_parameters():
    x = torch.randn(2, 17, 3)
    mixer = MaxPoolMixer(tokens=True, extra=1)
    found = mixer.module((17, 3))(x)
    grid = x[:, 1:].permute(0, 2, 1).reshape(2, 3, 4, 4)
    expected = nn.functional.max_pool2d(grid, 3, 1, 1).flatten(2).permute(0, 2, 1)
    assert torch.equal(found[:, 1:], expected) and torch.equal(found[:, :1], x[:, :1])
    counts = mixer.counts((17, 3))
    assert counts.params == counts.macs == 0
    with pytest.raises(SpaceError, match="a square number"):
        mixer.output((16, 3))


def test_eff_attention_has_two_linear_maps():
    net = build(EffAttention(8, 24), (16, 8))
    assert sum(p.numel() for p in net.parameters()) == 2 * 8 * 24 + 24 + 8


def test_residual_reduction_of_zero_weights_is_pooling_padded_with_zeros():
    net = build(ResidualReduction(TokenReduction(6)), (17, 4))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    x = torch.randn(2, 17, 4)
    found = net(x)
    pooled = x[:, 1:].reshape(2, 2, 2, 2, 2, 4).mean((2, 4)).reshape(2, 4, 4)
    assert found.shape == (2, 5, 6)
    assert torch.allclose(found[:, 1:, :4], pooled, atol=1e-6) and torch.equal(found[:, 0, :4], x[:, 0])
    assert not found[:, :, 4:].any()


def test_residual_reduction_refuses_narrower_outputs():
    with pytest.raises(SpaceError, match="at least as many features"):
        ResidualReduction(TokenReduction(2)).output((17, 4))


def test_grouped_block_mixes_the_groups_by_its_shuffle():
    """Without the shuffle an output of the first group would depend on inputs of the first group alone."""
    torch.manual_seed(0)
    module = GroupedMBConv(8, expand=3, groups=2, activation="identity").module((8, 4, 4)).eval()
    x = torch.randn(1, 8, 4, 4, requires_grad=True)
    (module(x) - x)[:, 0].sum().backward()
    assert bool((x.grad.abs().sum((0, 2, 3)) > 0).all())


def test_one_group_above_expansion_one_is_a_plain_inverted_residual():
    grouped = GroupedMBConv(8, 5, 2, 6)
    plain = MBConv(8, 5, 2, 6, activation="relu")
    assert grouped.counts((4, 9, 9)) == plain.counts((4, 9, 9))
    torch.manual_seed(0)
    one = grouped.module((4, 9, 9)).eval()
    other = plain.module((4, 9, 9)).eval()
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 4, 9, 9)
    assert torch.equal(one(x), other(x))


def test_inverted_residual_without_its_residual():
    with_x, without = MBConv(8), MBConv(8, residual=False)
    one, other = with_x.module((8, 5, 5)).eval(), without.module((8, 5, 5)).eval()
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 8, 5, 5)
    assert torch.allclose(one(x), other(x) + x) and with_x.counts((8, 5, 5)) == without.counts((8, 5, 5))


def test_a_state_leaves_unless_it_is_read():
    assert UnlessRead(2, (0, 1)).output((4, 5, 5)) == (4, 5, 5)
    assert UnlessRead(2, (1, 2)).output((4, 5, 5)) == (0, 5, 5)
    net = build(UnlessRead(2, (1, 2)), (4, 5, 5))
    assert net(torch.randn(3, 4, 5, 5)).shape == (3, 0, 5, 5)


def test_wide_window_of_two_narrow_convolutions_reads_the_whole_square():
    module = FactorizedConv(1, 7).module((1, 9, 9)).eval()
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(1.0)
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1.0
    quiet = module(torch.zeros_like(x))
    changed = (module(x) - quiet)[0, 0].detach().numpy() != 0
    expected = np.zeros((9, 9), dtype=bool)
    expected[1:8, 1:8] = True
    assert (changed == expected).all()
