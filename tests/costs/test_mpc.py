import pytest

from archwright.costs import deform, mpc
from archwright.costs.kernels import kernels_of_module
from archwright.costs.mpc_cost import Mpc
from archwright.errors import ConfigurationError

LAN, WAN = mpc.Network(375e6, 0.8e-3), mpc.Network(44e6, 40e-3)


def test_a_product_by_hand():
    # 3 + 4 elements of 8 bytes opened by both parties, one round
    op = mpc.product(mpc.Protocol(), 3.0, 4.0, 12.0)
    assert (op.rounds, op.sent_b) == (1, 2 * 7 * 8)
    assert op.seconds(mpc.Protocol(work_macs_per_s=12.0), mpc.Network(112.0, 2.0)) == 1 + 1 + 2


@pytest.mark.parametrize("network", [LAN, WAN])
def test_attentions_rank_softmax_relu_softmax_scaling(network):
    p = mpc.Protocol()
    seconds = [mpc.vit_block(p, 65.0, 256.0, 4.0, 512.0, kind=k).seconds(p, network) for k in mpc.ATTENTIONS]
    assert seconds[0] > seconds[1] > seconds[2]


def test_a_wider_link_or_shorter_round_trip_is_never_slower():
    p = mpc.Protocol()
    op = mpc.vit_block(p, 65.0, 256.0, 4.0, 512.0, kind="softmax")
    assert op.seconds(p, WAN._replace(b_per_s=88e6)) < op.seconds(p, WAN)
    assert op.seconds(p, WAN._replace(round_trip_s=0.01)) < op.seconds(p, WAN)


def test_an_unknown_attention_is_an_error():
    with pytest.raises(ConfigurationError, match="did you mean 'scaling'"):
        mpc.normaliser(mpc.Protocol(), "scalin", 1.0, 1.0)


def test_bounded_and_rounded_deformations_cost_less():
    free, bounded, rounded = (
        deform.deform_cost(64.0, 64.0, 128.0, **options)
        for options in ({}, {"bound": 7}, {"bound": 7, "rounded": True})
    )
    assert bounded.memory_reads < free.memory_reads
    assert bounded.buffer_elements == 17 * 64 * 128  # two lines of the kernel's reach, seven on each side, and its own
    assert rounded.sample_reads * 4 == bounded.sample_reads
    assert rounded.sample_macs == 0 < bounded.sample_macs


def test_square_depthwise_offsets_are_the_cheapest():
    plain = deform.deform_cost(64.0, 64.0, 128.0)
    square = deform.deform_cost(64.0, 64.0, 128.0, square=True, depthwise=True)
    assert square.offset_macs * 18 == plain.offset_macs


def test_a_networks_softmax_costs_what_its_rows_and_their_length_cost():
    nn = pytest.importorskip("torch").nn

    class Scores(nn.Module):
        def forward(self, x):
            return (x * 0.125).softmax(-1)

    def op(*shape):
        k = kernels_of_module(Scores(), shape)
        cost = Mpc.__new__(Mpc)
        cost.protocol = mpc.Protocol()
        return [cost._op(k, i) for i in range(len(k))]

    for rows, length in ((6, 40), (40, 6)):
        public, softmax = op(rows, length)
        assert public == mpc.Op(0.0, 0.0)  # scaling by a public number is local
        assert softmax == mpc.normaliser(mpc.Protocol(), "softmax", float(rows), float(length))
