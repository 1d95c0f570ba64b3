"""Operators compute what their papers' blocks compute, and count what can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archwright.errors import SpaceError
from archwright.nets import build
from archwright.operators import (
    FFN,
    GLUFFN,
    Attention,
    AvgPool,
    Cell,
    Classifier,
    Conv,
    DepthwiseSeparable,
    Edge,
    FusedMBConv,
    Linear,
    MBConv,
    Multiply,
    Node,
    PatchEmbed,
    Projection,
    Residual,
    Sequential,
    Skip,
    TransformerBlock,
    Tucker,
    Zero,
)


def test_mbconv_counts_of_a_mobilenetv2_stage_follow_the_paper():
    # table 1 of Sandler et al.: 1x1 (h w k (t k)), depthwise (h w t k 9), 1x1 (h w t k k')
    counts = MBConv(32, expand=6).counts((32, 28, 28))
    assert counts.macs == 28 * 28 * 32 * 6 * (32 + 9 + 32)
    assert counts.params == 32 * 192 + 192 * 9 + 192 * 32 + 2 * (192 + 192 + 32)


def test_strided_mbconv_expands_at_the_input_size():
    counts = MBConv(24, expand=6, stride=2).counts((16, 112, 112))
    assert counts.macs == 112**2 * 16 * 96 + 56**2 * 96 * (9 + 24)


def test_mbconv_adds_its_input_only_where_the_shape_stays():
    x = torch.randn(2, 8, 6, 6)
    same, other, strided = MBConv(8).module((8, 6, 6)), MBConv(4).module((8, 6, 6)), MBConv(8, stride=2)
    with torch.no_grad():
        for module in (same, other):
            module.project[1].weight.zero_()
    assert torch.equal(same.eval()(x), x)
    assert not other.eval()(x).any()
    assert strided.output((8, 6, 6)) == (8, 3, 3)


def test_mbconv_with_expand_one_starts_with_the_depthwise_convolution():
    names = [n for n, _ in MBConv(8, expand=1).module((4, 6, 6)).named_parameters()]
    assert not any(n.startswith("expand") for n in names)
    assert any(n.startswith("expand") for n, _ in MBConv(8, expand=2).module((4, 6, 6)).named_parameters())


def test_fused_mbconv_with_expand_one_is_one_convolution():
    module = FusedMBConv(8, expand=1).module((4, 6, 6))
    assert sum(isinstance(m, nn.Conv2d) for m in module.modules()) == 1


def test_tucker_ratios_give_multiples_of_eight():
    arguments = Tucker(48, compress=0.25, expand=0.75).layer((40, 8, 8)).arguments
    assert (arguments["compressed"], arguments["hidden"]) == (8, 40)  # 10 and 36, half up in steps of 8


def test_separable_convolution_twice_is_that_of_darts():
    module = DepthwiseSeparable(6, kernel=5, stride=2, twice=True, affine=False).module((4, 9, 9)).eval()
    x = torch.randn(2, 4, 9, 9)
    weights = {n: p for n, p in module.named_parameters()}
    y = x
    for half, stride in (("first", 2), ("second", 1)):
        y = F.conv2d(F.relu(y), weights[f"{half}.1.weight"], stride=stride, padding=2, groups=4)
        y = F.conv2d(y, weights[f"{half}.2.weight"]) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(module(x), y)
    # 2 depthwise and 2 pointwise convolutions on 5 x 5 positions
    assert DepthwiseSeparable(6, 5, 2, True).counts((4, 9, 9)).macs == 25 * (4 * 25 + 4 * 4 + 4 * 25 + 4 * 6)


def test_factorized_reduce_sees_every_second_position_from_both_offsets():
    module = Skip(stride=2, affine=False).module((2, 4, 4)).eval()
    x = torch.rand(1, 2, 4, 4)
    with torch.no_grad():
        module.even.weight.copy_(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1))
        module.odd.weight.copy_(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1))
    y = module(x) * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(y[:, 0], x[:, 0, ::2, ::2])
    torch.testing.assert_close(y[:, 1], x[:, 0, 1::2, 1::2])


def test_average_pool_leaves_padding_out_of_the_mean():
    pool = AvgPool().module((1, 4, 4))
    torch.testing.assert_close(pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torch_multi_head_attention(causal):
    op = Attention(4, qkv_bias=True, causal=causal)
    module, reference = op.module((6, 8)), nn.MultiheadAttention(8, 4, batch_first=True)
    with torch.no_grad():
        parts = [module.query, module.key, module.value]
        reference.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        reference.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        reference.out_proj.load_state_dict(module.out.state_dict())
    x = torch.randn(3, 6, 8)
    mask = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1) if causal else None
    torch.testing.assert_close(module(x), reference(x, x, x, attn_mask=mask, need_weights=False)[0])


def test_grouped_query_attention_equals_full_attention_with_repeated_key_value_heads():
    grouped = Attention(4, kv_heads=2, head_dim=3).module((5, 8))
    full = Attention(4, head_dim=3).module((5, 8))
    state = grouped.state_dict()
    for name in ("key.weight", "value.weight"):
        state[name] = state[name].unflatten(0, (2, 3)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(grouped(x), full(x))


def test_score_computations_of_sparse_query_attention_shrink_with_its_query_heads():
    def scores(op):  # what depends on the square of the length
        return op.counts((200, 64)).macs - 2 * op.counts((100, 64)).macs

    full = scores(Attention(8))
    assert full == 4 * 64 * 100**2
    assert scores(Attention(8, query_heads=4, kv_heads=2)) == full // 2
    assert scores(Attention(8, kv_heads=1)) == full
    assert scores(Attention(8, query_heads=2, kv_heads=2)) == full // 4


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (Attention(3), "heads of Attention must divide the 8 features"),
        (Attention(4, kv_heads=3), "must divide its 4 query heads, got 3"),
        (Attention(4, query_heads=8), "at most its 4 heads, got 8"),
        (Attention(4, query_heads=2, kv_heads=4), "must divide its 2 query heads, got 4"),
        (Attention(0), "positive integer, got 0"),
        (FFN(hidden=-1), "positive integer, got -1"),
    ],
)
def test_illegal_head_counts_are_refused(op, words):
    with pytest.raises(SpaceError, match=words):
        op.output((5, 8))


def test_swiglu_is_the_gated_product():
    module = GLUFFN(hidden=6).module((5, 4))
    x = torch.randn(2, 5, 4)
    expected = (F.silu(x @ module.gate.weight.T) * (x @ module.up.weight.T)) @ module.down.weight.T
    torch.testing.assert_close(module(x), expected)


def test_patch_embedding_is_a_linear_map_of_each_patch():
    module = PatchEmbed(6, patch=2, class_token=True).module((3, 4, 4))
    x = torch.randn(1, 3, 4, 4)
    y = module(x) - module.position
    patch = x[0, :, 0:2, 2:4].flatten()  # second patch of the first row
    torch.testing.assert_close(y[0, 2], module.project.weight.flatten(1) @ patch + module.project.bias)
    torch.testing.assert_close(y[0, 0], module.class_token[0])


def test_transformer_block_is_two_pre_norm_residuals():
    block = TransformerBlock(Attention(2), FFN(hidden=16))
    net = build(block, (5, 8))
    attention_norm, attention, _, ffn_norm, ffn, _ = net.layers.values()
    x = torch.randn(2, 5, 8)
    y = x + attention(attention_norm(x))
    torch.testing.assert_close(net(x), y + ffn(ffn_norm(y)))


def test_residual_with_identity_passes_over_a_body_that_changes_the_shape():
    assert Residual(Conv(6)).output((4, 8, 8)) == (6, 8, 8)
    body = Conv(6)
    net = build(Residual(body), (4, 8, 8)).eval()
    x = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(net(x), next(iter(net.layers.values()))(x))


def test_projection_refuses_a_body_that_no_stride_explains():
    with pytest.raises(SpaceError, match="one stride"):
        Projection().output((6, 4, 4), (4, 8, 5))


def test_cell_of_nas_bench_201_equals_its_definition():
    ops = [Conv(4, 1, activation_first=True), Skip(), Zero(), AvgPool(), Conv(4, activation_first=True), Skip()]
    nodes = (
        Node((Edge(0, ops[0]),)),
        Node((Edge(0, ops[1]), Edge(1, ops[2]))),
        Node((Edge(0, ops[3]), Edge(1, ops[4]), Edge(2, ops[5]))),
    )
    net = build(Cell(nodes, result="last"), (4, 6, 6)).eval()
    convs = [m for m in net.layers.values() if hasattr(m, "conv")]
    x = torch.randn(2, 4, 6, 6)
    one = convs[0](x)
    two = x + 0 * one
    three = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) + convs[1](one) + two
    torch.testing.assert_close(net(x), three)


def test_cell_with_loose_ends_concatenates_only_unread_states():
    conv = Conv(4)
    nodes = (Node((Edge(0, conv),)), Node((Edge(1, conv),)), Node((Edge(0, conv),)))
    assert Cell(nodes, result="loose").output((4, 6, 6)) == (8, 6, 6)
    assert Cell(nodes, result="concat").output((4, 6, 6)) == (12, 6, 6)


def test_edge_from_a_later_state_is_refused():
    with pytest.raises(SpaceError, match="one of the 1 states before it, got 1"):
        Cell((Node((Edge(1, Conv(4)),)),)).output((4, 6, 6))


def test_product_of_linear_branches_is_a_polynomial_of_their_number():
    net = build(Multiply((Linear(3, bias=False),) * 3), (4,))
    x = torch.randn(5, 4)
    torch.testing.assert_close(net(2 * x), 8 * net(x))


def test_one_layer_serves_series_images_and_volumes():
    for shape in ((3, 9), (3, 9, 9), (3, 5, 9, 9)):
        net = build(Sequential((Conv(4), MBConv(4), Conv(8, stride=2), Classifier(2))), shape)
        assert net(torch.randn(2, *shape)).shape == (2, 2)


@pytest.mark.parametrize(
    ("op", "shape", "words"),
    [
        (Conv(8), (5,), r"\(C, L\) or \(L, D\) or \(C, H, W\)"),
        (Conv(8, groups=3), (6, 4, 4), "groups of Conv must divide"),
        (Conv(8, activation="relx"), (6, 4, 4), "did you mean 'relu'"),
        (Conv(8, kernel=7, padding=0), (6, 4, 4), "does not fit into size"),
        (MBConv(8, kernel=4), (6, 4, 4), "must be odd, got 4; use 3 or 5"),
        (Linear(8), (6, 4, 4), r"\(F,\) or"),
        (Linear(8, norm="batch"), (6, 4), "norm='layer'"),
        (PatchEmbed(8, patch=3), (3, 8, 8), "must divide the input size"),
        (Skip(stride=3), (3, 8, 8), "must be 1 or 2, got 3"),
        (Classifier(10, pool="cls"), (3, 8, 8), "expects tokens"),
    ],
)
def test_wrong_fields_and_inputs_are_refused_with_what_to_do(op, shape, words):
    with pytest.raises(SpaceError, match=words):
        op.layer(shape)
