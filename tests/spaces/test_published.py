"""Published spaces: exact sizes, and networks whose parameters and multiply-accumulates are published."""

import math

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.costs.counts import Counts
from archwright.errors import SpaceError
from archwright.nets import Supernet, build
from archwright.nets.build import program_of
from archwright.operators import ConcatJoin, MBConv, Skip
from archwright.operators.drop_path import PathDropout, set_progress
from archwright.spaces import fbnet, nasnet, pfnas
from archwright.spaces.mobilenetv3 import mobilenetv3
from archwright.spaces.transfer import transfer

IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)
MOBILE = 0.01  # published figures have two or three digits


def space(name, shape=IMAGENET, **arguments):
    return registry.get("spaces", name)(shape, 1000, **arguments)


def totals(target, shape=IMAGENET):
    counts = [s.leaf.counts(*s.input_shapes) for s in program_of(target, shape).steps]
    return sum(c.params for c in counts), sum(c.macs for c in counts)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("fbnet", {}, 9**22),  # about 10^21, Wu et al., 2019, section 3.1
        ("proxylessnas", {}, 6**6 * 7**15),  # six layers change size or width and cannot be left out
        ("mobilenetv3", {}, (9**2 + 9**3 + 9**4) ** 5),  # about 2 x 10^19, Cai et al., 2020, section 3.1
        ("mobilenetv3", {"resolutions": tuple(range(128, 225, 4))}, 25 * (9**2 + 9**3 + 9**4) ** 5),
        ("autoformer", {}, 3 * (4**12 + 4**13 + 4**14)),
        ("autoformer", {"size": "small"}, 3 * (9**12 + 9**13 + 9**14)),
        ("autoformer", {"size": "base"}, 3 * (6**14 + 6**15 + 6**16)),
        ("vit_resnas", {}, 5**3 * 12**12 * 13**6),
        ("mixed_attention", {}, 18**6),
        ("mpcvit", {}, 2**28),
        ("mpcvit", {"plus": True}, 2**35),
        ("pfnas", {}, 4**16),
        ("pfnas_vit", {}, 2**12),
        ("mnasnet", {}, 432**5 * 289**2),  # S = 432, B = 5: about 10^13, Tan et al., 2019, section 4.1
        ("hypercuboid", {}, 5 * 10**6),
        ("resnet_pooling", {}, 36),  # two of nine positions
        ("sharpdarts", {}, 9**28),
        ("nasnet", {}, (math.factorial(6) ** 2 * 13**10 * 2**5) ** 2),
    ],
)
def test_the_space_has_its_size(name, arguments, size):
    assert space(name, **arguments).size() == size


def test_without_combinations_a_nasnet_cell_of_eight_operators_has_the_count_of_pnas():
    both = space("nasnet", operators=nasnet.OPERATORS[:8], combines=("add",)).size()
    cell = math.isqrt(both)
    assert cell**2 == both and f"{cell:.1e}" == "5.6e+14"  # Liu et al., 2018, "Progressive NAS", section 3.1


# ---- networks of published size ---------------------------------------------------------------------------------

FBNETS = {  # mobile-vision's fbnet_modeldef_cls_fbnet.py, stage by stage
    "A": "skip k3_e3 k3_e1 skip skip k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 "
    "k3_e6 k5_e1_g2 k5_e3 k3_e1_g2 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6",
    "B": "k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 k5_e6 k5_e3 k3_e6 k5_e6 k5_e6 k5_e6 skip k5_e3 "
    "k5_e6 k3_e1 k5_e1 k5_e3 k5_e6 k5_e1 k5_e6 k5_e6 k3_e6",
    "C": "k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 "
    "k5_e6 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k3_e6",
}


def fbnet_named(which, head=1984):
    code = [fbnet.OPERATORS.index(name) for name in FBNETS[which].split()]
    return space("fbnet", head=head).architectures(np.array([code]))[0]


def test_fbnet_a_has_its_published_cost():
    params, macs = totals(fbnet_named("A", head=1504))
    assert params == pytest.approx(4.3e6, rel=MOBILE) and macs == pytest.approx(249e6, rel=MOBILE)  # table 3


def test_fbnet_b_and_c_are_a_few_percent_above_their_published_cost():
    """The released definitions of B and C use plain inverted residuals where the published networks had others."""
    params, macs = totals(fbnet_named("B"))
    assert params / 4.5e6 == pytest.approx(1.081, abs=0.001) and macs / 295e6 == pytest.approx(1.038, abs=0.001)
    params, macs = totals(fbnet_named("C"))
    assert params == 5_572_200  # 5.57 M in timm's fbnetc_100
    assert macs / 375e6 == pytest.approx(1.027, abs=0.001)


def test_proxylessnas_mobile_has_its_published_cost():
    """Cai et al., 2019, figure 4 (mobile), whose widths are those of the space but for the first stage, 32."""
    stages = (("5.3", "3.3", "-", "-"), ("7.3", "3.3", "5.3", "5.3"))
    stages += (("7.6", "5.3", "5.3", "5.3"), ("5.6", "5.3", "5.3", "5.3"), ("7.6", "7.6", "7.3", "7.3"), ("7.6",))
    blocks = [block for stage in stages for block in stage]
    widths = ((32, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))
    found = space("proxylessnas", stages=widths)
    names = [
        {"-" if isinstance(o, Skip) else f"{o.kernel}.{o.expand}": k for k, o in enumerate(d.options)}
        for d in found.decisions
    ]
    code = [names[i][block] for i, block in enumerate(blocks)]
    params, macs = totals(found.architectures(np.array([code]))[0])
    assert macs == pytest.approx(320e6, rel=0.002)  # table of mit-han-lab/proxylessnas
    assert params == 4_080_512


def test_mnasnet_a1_has_its_published_cost():
    """Tan et al., 2019, figure 7; its widths are fixed ones, so the space is given them."""
    stages = ((16, 1, 1), (24, 2, 2), (40, 3, 2), (80, 4, 2), (112, 3, 1), (160, 3, 2), (320, 1, 1))
    chosen: dict[str, object] = {}
    layers = (
        ("sep", 3, 1),
        ("mb6", 3, 1),
        ("mb3_se", 5, 2),
        ("mb6", 3, 3),
        ("mb6_se", 3, 1),
        ("mb6_se", 5, 2),
        ("mb6", 3, 1),
    )
    for b, (op, kernel, times) in enumerate(layers):
        skip = "none" if b == 0 else "identity"
        chosen |= {f"op{b}": op, f"kernel{b}": kernel, f"skip{b}": skip, f"layers{b}": times}
    params, macs = totals(space("mnasnet", stages=stages, widths=(1.0,)).architecture(chosen))
    assert params == pytest.approx(3.9e6, rel=MOBILE) and macs == pytest.approx(312e6, rel=MOBILE)


def test_resnet50_and_r50_max_have_their_published_cost():
    found = space("pfnas")
    code = {name: np.full((1, 16), k) for k, name in enumerate(pfnas.OPERATORS)}
    params, macs = totals(found.architectures(code["conv_3x3"])[0])
    assert params == 25_557_032 and macs == pytest.approx(4.1e9, rel=MOBILE)  # He et al., 2016, with stride in the 3x3
    params, macs = totals(found.architectures(code["max_pool_3x3"])[0])
    assert round(params / 1e6, 1) == 14.2 and round(macs / 1e9, 1) == 2.2  # table of naver-ai/PfLayer


def test_autoformer_t_has_its_published_size_but_for_relative_positions():
    """Depth 13, width 192, heads and ratios as released; published 5.8 M, README of microsoft/Cream."""
    ratios = (3.5, 3.5, 3.0, 3.5, 3.0, 3.0, 4.0, 4.0, 3.5, 4.0, 3.5, 4.0, 3.5)
    options: dict[str, object] = {"width": 192, "depth": 13}
    for i, ratio in enumerate(ratios):
        options |= {f"parts.1#{i}.ffn.ratio": ratio, f"parts.1#{i}.attention.heads": 4 if i == 10 else 3}
    params, _ = totals(space("autoformer", ratios=(3.0, 3.5, 4.0)).architecture(options))
    tables = 13 * 2 * 2 * 30 * 64
    assert params == 5_768_104 and params + tables == pytest.approx(5.8e6, rel=0.012)


def test_the_largest_once_for_all_network_counted_by_hand():
    found = mobilenetv3(IMAGENET, 1000)
    assert totals(found.largest()) == (7_659_112, 566_163_744)
    block = MBConv(112, 7, 1, 6, se=0.25, activation="hswish", gate="hsigmoid")
    hidden = 6 * 112
    expected = (
        2 * 112 * hidden + 49 * hidden + 2 * (2 * hidden + 112) + 2 * hidden * (hidden // 4) + hidden + hidden // 4
    )
    assert block.counts((112, 14, 14)).params == expected


# ---- behaviour ----------------------------------------------------------------------------------------------------


def test_shorter_units_of_once_for_all_are_the_first_blocks_of_longer_ones():
    found = mobilenetv3(CIFAR, 10, units=((8, 2, True, "hswish"),), stem=4, head=(8, 8))
    net = Supernet(found, CIFAR)
    two, four = (net.program(found.architecture({"depth0": d})) for d in (1, 3))
    assert len(four.steps) == len(two.steps) + 2
    kept = {s.name for s in two.steps}
    assert kept < {s.name for s in four.steps}


def test_resolution_is_a_decision_that_the_network_ignores():
    found = mobilenetv3(CIFAR, 10, units=((8, 2, False, "relu"),), stem=4, head=(8, 8), resolutions=(24, 32))
    a = found.architecture({"resolution": 24})
    assert a.tree.resolution == 24
    net = build(a, CIFAR).eval()
    for side in (24, 32):
        assert net(torch.randn(2, 3, side, side)).shape == (2, 10)


def loose(architecture, kind="normal", blocks=3):
    """States that no block reads, from the decisions alone."""
    s = architecture.space
    taken = {d.label: d.options[int(k)] for d, k in zip(s.decisions, architecture.code, strict=True)}
    read = {taken[f"{kind}.{b}.source{k}"] for b in range(blocks) for k in (0, 1)}
    combined = [2 if taken[f"{kind}.{b}.combine"] == "concat" else 1 for b in range(blocks)]
    return sum(combined[b] for b in range(blocks) if 2 + b not in read)


def test_unread_states_of_a_nasnet_cell_are_its_output():
    found = nasnet.nasnet(CIFAR, 10, channels=4, cells=1, blocks=3)
    widths = set()
    for a in found.sample(30, np.random.default_rng(0)):
        outputs = [s for s in program_of(a, CIFAR).steps if isinstance(s.leaf, ConcatJoin) and "output" in s.name]
        assert len(outputs) == 5  # one a cell
        assert [s.shape[0] for s in outputs[::2]] == [4 * 2**i * loose(a) for i in range(3)]
        assert [s.shape[1] for s in outputs] == [32, 16, 16, 8, 8]
        widths.add(outputs[0].shape[0])
    assert len(widths) > 3


def test_found_nasnet_cells_are_stacked_anew_with_drop_path_that_rises_and_is_off_in_evaluation():
    found = nasnet.nasnet(CIFAR, 10, channels=4, cells=1, blocks=2).sample(1, np.random.default_rng(0))[0]
    large = transfer(found, nasnet.nasnet(CIFAR, 100, channels=8, cells=2, blocks=2, affine=True, drop_path=0.4))
    net = build(large, CIFAR, seed=0).eval()
    x = torch.randn(4, *CIFAR)
    assert net(x).shape == (4, 100) and torch.equal(net(x), net(x))
    drops = [m for m in net.modules() if isinstance(m, PathDropout)]
    assert len(drops) == 8 * 4  # eight cells of two blocks of two branches
    set_progress(net, 0.25)
    assert {m.rate * m.progress for m in drops} == {0.1}
    net.train()
    torch.manual_seed(0)
    assert float((drops[0](torch.ones(4000, 1)) == 0).float().mean()) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("nasbench201", {"channels": (4, 8), "cells": 1}, {"channels": (8, 16, 32), "cells": 2}),
        ("sharpdarts", {"channels": 4, "cells": 3, "nodes": 2}, {"channels": 8, "cells": 6, "nodes": 2}),
    ],
)
def test_cells_of_other_spaces_are_stacked_anew(name, small, large):
    function = registry.get("spaces", name)
    found = function(CIFAR, 10, **small).sample(1, np.random.default_rng(0))[0]
    moved = transfer(found, function(CIFAR, 20, **large))
    assert np.array_equal(moved.code, found.code)
    assert totals(moved, CIFAR)[1] > totals(found, CIFAR)[1]
    assert program_of(moved, CIFAR).shape == (20,)


def test_layers_of_mnasnet_share_the_decisions_of_their_block():
    found = space("mnasnet")
    assert {d.label for d in found.decisions} == {
        f"{what}{b}" for what in ("op", "kernel", "width", "skip", "layers") for b in range(7)
    }
    a = found.architecture({"op1": "mb3_se", "kernel1": 5, "width1": 32, "skip1": "pool", "layers1": 2})
    first, (second, third) = (a.tree.parts[2], a.tree.parts[3])
    assert (first.name, first.like.channels, first.like.stride) == ("mb3_se", 32, 2)
    assert second == third and second.like.stride == 1 and second.like.kernel == 5


def test_wherever_its_down_samplings_stand_a_resnet_20_has_its_size_and_its_weights_serve_all():
    made = registry.get("spaces", "resnet_pooling")((3, 32, 32), 10)
    params = Counts(made, (3, 32, 32)).evaluate(made.enumerate())["params_m"]
    assert len(params) == 36 and (params == params[0]).all()
    assert round(params[0], 2) == 0.27  # He et al., 2016, table 6
    assert all(a.code.sum() == 2 for a in made.enumerate())


def test_spaces_refuse_what_they_cannot_build():
    with pytest.raises(SpaceError, match="as many blocks as"):
        space("resnet_pooling", (3, 2, 2))
    with pytest.raises(SpaceError, match="must be even"):
        space("hypercuboid", layers=3)
    with pytest.raises(SpaceError, match="expects images"):
        space("nasnet", (3, 32))
    with pytest.raises(SpaceError, match="size of autoformer"):
        space("autoformer", size="huge")
    with pytest.raises(SpaceError, match="square grid of even side"):
        build(space("vit_resnas", (3, 42, 42)).smallest(), (3, 42, 42))
