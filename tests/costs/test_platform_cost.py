from dataclasses import replace

import numpy as np
import pytest

from archwright.costs.kernels import kernels_of_module
from archwright.costs.npu_cost import not_integer_friendly
from archwright.costs.platform_cost import cost_on
from archwright.errors import ConfigurationError
from archwright.platforms import load
from archwright.registry import get
from archwright.space import Space, oneof
from archwright.spaces.nasbench201 import nasbench201

SPACE = nasbench201(channels=(8, 16, 32), cells=1)
SHAPE = (3, 16, 16)
PLATFORMS = ("h200", "mi300x", "tpu_like", "eyeriss", "nvdla_256", "shidiannao", "arria10", "edge_npu")


def sample(n, space=SPACE, seed=0):
    return space.sample(n, np.random.default_rng(seed))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_explained_operators_add_up_to_the_network(platform):
    cost, archs = cost_on(platform, SPACE, SHAPE), sample(3)
    columns = cost.evaluate(archs)
    for i in range(3):
        lines = cost.explain(archs[i])
        assert sum(x["latency_ms"] for x in lines) == pytest.approx(columns["latency_ms"][i])
    assert (columns["latency_ms"] > 0).all()


@pytest.mark.parametrize("platform", ["h200", "tpu_like", "nvdla_256", "eyeriss"])
def test_a_certain_choice_has_its_own_cost_as_expectation(platform):
    torch = pytest.importorskip("torch")
    cost, arch = cost_on(platform, SPACE, SHAPE), sample(1)[0]
    certain = {
        d.path: torch.nn.functional.one_hot(torch.tensor(int(arch.code[d.index])), len(d.options)).double()
        for d in SPACE.decisions
    }
    expected = cost.expected(certain)
    assert expected["latency_ms"].item() == pytest.approx(cost.evaluate(np.asarray(arch.code)[None])["latency_ms"][0])


def codesign_space():
    e = load("eyeriss")
    spatial = replace(
        e.spatial,
        pes=oneof(64, 168, 512),
        template=oneof("nvdla", "shidiannao", "eyeriss"),
        buffer_b=oneof(2**14, 2**17),
    )
    return Space({"network": SPACE.tree, "platform": replace(e, spatial=spatial)})


def test_a_platform_in_the_space_costs_the_same_as_when_it_is_fixed():
    space = codesign_space()
    archs = sample(20, space)
    together = get("costs", "dataflow")(space, SHAPE).evaluate(archs)
    for i in (0, 7, 19):
        arch = archs[i]
        alone = get("costs", "dataflow")(space, SHAPE, platform=arch.tree["platform"])
        got = alone.evaluate(np.asarray(arch.code)[None])
        for metric in ("latency_ms", "energy_mj"):
            assert got[metric][0] == pytest.approx(together[metric][i])
    assert len(set(together["area_mm2"].tolist())) > 1


def test_an_expected_cost_on_searched_platforms_is_the_mean_and_has_gradients():
    torch = pytest.importorskip("torch")
    space = codesign_space()
    cost = get("costs", "dataflow")(space, SHAPE)
    arch = sample(1, space, seed=4)[0]
    certain = {
        d.path: torch.nn.functional.one_hot(torch.tensor(int(arch.code[d.index])), len(d.options)).double()
        for d in space.decisions
    }
    alone = cost.evaluate(np.asarray(arch.code)[None])
    for metric, value in cost.expected(certain).items():
        assert value.item() == pytest.approx(alone[metric][0])
    free = {d.path for d in space.decisions if d.path.startswith("platform")}
    mixed = {p: torch.full_like(v, 1 / len(v)) if p in free else v for p, v in certain.items()}
    mixed = {p: v.requires_grad_() for p, v in mixed.items()}
    codes = np.tile(arch.code, (18, 1))
    columns = [space.decision(p).index for p in free]
    codes[:, columns] = np.array(list(np.ndindex(*(len(space.decisions[i].options) for i in columns))))
    found, every = cost.expected(mixed), cost.evaluate(codes)
    for metric in ("latency_ms", "energy_mj", "area_mm2"):
        assert found[metric].item() == pytest.approx(every[metric].mean())
    found["latency_ms"].backward()
    pes, at = mixed["platform.spatial.pes"].grad, space.decision("platform.spatial.pes").index
    for k in range(3):  # a probability's gradient is the mean cost of the designs with that option
        assert pes[k].item() == pytest.approx(every["latency_ms"][codes[:, at] == k].mean())


def test_too_many_settings_of_a_platform_are_refused():
    e = load("eyeriss")
    spatial = replace(e.spatial, pes=oneof(*range(1, 200)), buffer_b=oneof(*range(1000, 1100)))
    space = Space({"network": SPACE.tree, "platform": replace(e, spatial=spatial)})
    with pytest.raises(ConfigurationError, match="at most 4096"):
        get("costs", "dataflow")(space, SHAPE).expected({"platform.spatial.pes": np.ones(199)})


def test_a_choice_between_whole_platforms_works_too():
    space = Space({"network": SPACE.tree, "platform": oneof(load("nvdla_64"), load("nvdla_512"))})
    archs = sample(30, space)
    latency = get("costs", "dataflow")(space, SHAPE).evaluate(archs)["latency_ms"]
    for i in range(30):
        fixed = get("costs", "dataflow")(space, SHAPE, platform=archs[i].tree["platform"])
        assert fixed.evaluate(np.asarray(archs[i].code)[None])["latency_ms"][0] == pytest.approx(latency[i])


def test_what_a_platform_cannot_give_is_nan_or_refused():
    archs = sample(2)
    assert np.isnan(
        get("costs", "roofline")(SPACE, SHAPE, platform="a100", dtype="fp8").evaluate(archs)["latency_ms"]
    ).all()
    with pytest.raises(ConfigurationError, match=r"needs a \[compute\] section.*'eyeriss'"):
        get("costs", "roofline")(SPACE, SHAPE, platform="eyeriss")
    with pytest.raises(ConfigurationError, match=r"platform=\.\.\."):
        get("costs", "roofline")(SPACE, SHAPE)
    build = load("arria10")
    crowded = replace(build, fpga=replace(build.fpga, dsp_blocks=10))
    full = get("costs", "fpga")(SPACE, SHAPE, platform=crowded)
    assert np.isnan(full.evaluate(archs)["latency_ms"]).all()
    assert full.reasons(archs) == ["latency_ms: the build needs 768 DSP blocks, the platform 'arria10' has 10"] * 2


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_metric_is_nan_exactly_where_a_reason_is_given(platform):
    archs = sample(2)
    bare = replace(load(platform), energy=None)
    for p in (
        load(platform),
        bare if bare.compute is None else replace(bare, compute=replace(bare.compute, power_w=None)),
    ):
        cost = cost_on(p, SPACE, SHAPE)
        unknown = {m for m, v in cost.evaluate(archs).items() if np.isnan(v).any()}
        assert unknown == {line.split(":")[0] for line in cost.missing(p)}
        assert set(cost.reasons(archs)) == {"; ".join(cost.missing(p)) or "fits"}


def test_reasons_of_searched_platforms_are_those_of_each_architecture():
    board = load("arria10")
    tree = {"network": SPACE.tree, "platform": replace(board, fpga=replace(board.fpga, pe=oneof(16, 4096)))}
    space = Space(tree)
    archs = sample(8, space)
    cost = get("costs", "fpga")(space, SHAPE)
    known = np.isfinite(cost.evaluate(archs)["latency_ms"])
    assert [r == "fits" for r in cost.reasons(archs)] == known.tolist()
    assert 0 < known.sum() < 8


def test_a_larger_batch_costs_more_in_total_and_less_for_each():
    archs = sample(4)
    one, many = (cost_on("h200", SPACE, SHAPE, batch=b).evaluate(archs)["latency_ms"] for b in (1, 64))
    assert (many >= one).all()
    assert (many / 64 < one).all()


def test_formats_change_bit_operations_by_the_product_of_their_bits():
    archs = sample(4)
    wide, narrow = (
        get("costs", "bitops")(SPACE, SHAPE, weights=f, activations=f).evaluate(archs)["bit_operations_gbops"]
        for f in ("int8", "int4")
    )
    assert np.allclose(wide, 4 * narrow)


def test_private_inference_counts_rounds_of_comparisons():
    archs = sample(5)
    columns = get("costs", "mpc")(SPACE, SHAPE).evaluate(archs)
    assert (columns["rounds_count"] > 0).all()
    slow = get("costs", "mpc")(SPACE, SHAPE, network=(44e6, 0.4)).evaluate(archs)
    assert np.allclose(slow["latency_ms"] - columns["latency_ms"], 360 * columns["rounds_count"])


def test_kernels_of_a_module_match_a_hand_count():
    nn = pytest.importorskip("torch").nn
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(512, 5),
    )
    k = kernels_of_module(net, (3, 16, 16))
    assert k.names == ("convolution", "relu", "convolution", "addmm")
    assert k.macs.tolist() == [64 * 27 * 8, 0, 64 * 9 * 8, 512 * 5]
    assert k.inputs.tolist() == [768, 512, 512, 512]


def test_an_npu_prefers_gated_convolutions_to_attention():
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.gate = nn.Conv1d(64, 64, 3, padding=1, groups=64), nn.Conv1d(64, 64, 1)
            self.up, self.down = nn.Conv1d(64, 256, 1), nn.Conv1d(256, 64, 1)

        def forward(self, x):
            y = x.transpose(1, 2)
            y = y + self.mix(y) * torch.nn.functional.hardsigmoid(self.gate(y))
            return (y + self.down(torch.relu(self.up(y)))).transpose(1, 2)

    attention = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    conv, vit = kernels_of_module(Gated(), (197, 64)), kernels_of_module(attention, (197, 64))
    assert not_integer_friendly(conv) == ()
    assert "native_layer_norm" in not_integer_friendly(vit)
    npu = get("costs", "npu")(SPACE, SHAPE, platform="edge_npu")
    seconds = [npu.kernel_costs(k, load("edge_npu"))["latency_ms"].sum() for k in (conv, vit)]
    assert seconds[0] < seconds[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the exporter's own
def test_kernels_of_an_onnx_file_match_those_of_the_module(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from archwright.costs.kernels import kernels_of_onnx

    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 64, 5)
    ).eval()
    torch.onnx.export(net, (torch.zeros(1, 3, 8, 8),), tmp_path / "net.onnx", dynamo=True, verbose=False)
    assert kernels_of_onnx(tmp_path / "net.onnx").macs.sum() == kernels_of_module(net, (3, 8, 8)).macs.sum()


def test_a_platform_without_bf16_is_costed_in_fp32_unless_a_format_is_asked_for():
    h200 = load("h200")
    alone = replace(h200, compute=replace(h200.compute, bf16_ops_per_s=None))
    plain = cost_on(alone, SPACE, SHAPE).evaluate(sample(4))["latency_ms"]
    np.testing.assert_array_equal(plain, cost_on(alone, SPACE, SHAPE, dtype="fp32").evaluate(sample(4))["latency_ms"])
    assert np.isnan(cost_on(alone, SPACE, SHAPE, dtype="bf16").evaluate(sample(4))["latency_ms"]).all()
