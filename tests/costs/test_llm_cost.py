from dataclasses import replace

import numpy as np
import pytest

from archwright.costs.decoder import decoder
from archwright.errors import ConfigurationError
from archwright.registry import get
from archwright.space import Space, oneof

BASE = replace(decoder("llama-3.1-8b"), hidden=oneof(2048, 4000, 4096), layers=oneof(16, 32), ffn=oneof(8192, 14336))


def test_a_batch_equals_its_members_one_by_one():
    space = Space(BASE)
    cost = get("costs", "llm")(space, platform="h200")
    archs = space.enumerate()
    together = cost.evaluate(archs)
    for i in range(len(archs)):
        alone = cost.evaluate(np.asarray(archs[i].code)[None])
        for metric in cost.metrics:
            assert alone[metric][0] == together[metric][i]


def test_deployment_choices_stand_beside_the_model():
    space = Space({"decoder": decoder("llama-2-70b"), "tensor": oneof(1, 2, 4, 8), "batch": oneof(1, 16)})
    cost = get("costs", "llm")(space, platform="h200", input_tokens=2048)
    archs = space.enumerate()
    columns, reasons = cost.evaluate(archs), cost.reasons(archs)
    fits = np.isfinite(columns["ttft_ms"])
    assert not fits.all()
    assert [r == "fits" for r in reasons] == fits.tolist()
    tensor = np.array([a.tree["tensor"] for a in archs])
    assert (np.diff(columns["memory_gb"][np.argsort(tensor)]) <= 1e-9).sum() >= 3
    assert columns["ttft_ms"][tensor == 8].max() < columns["ttft_ms"][(tensor == 2) & fits].max()


def test_crooked_widths_are_slower_per_weight_and_flagged():
    space = Space(BASE)
    archs = space.enumerate()
    columns = get("costs", "llm")(space, platform="mi300x", batch=8).evaluate(archs)
    crooked = np.array([a.tree.hidden == 4000 for a in archs])
    assert (columns["well_sized_share"] == ~crooked).all()


def test_a_space_without_a_decoder_is_refused():
    with pytest.raises(ConfigurationError, match="needs a Decoder"):
        get("costs", "llm")(Space({"a": oneof(1, 2)}), platform="h200").evaluate(np.zeros((1, 1), dtype=np.int16))
    with pytest.raises(ConfigurationError, match="capacity_b"):
        get("costs", "llm")(Space(BASE), platform=replace_capacity())


def replace_capacity():
    from archwright.platforms import load

    p = load("h200")
    return replace(p, memory=replace(p.memory, capacity_b=None))


def test_explained_operators_add_up_to_the_passes():
    space = Space({"decoder": BASE, "tensor": oneof(1, 4)})
    cost = get("costs", "llm")(space, platform="h200", output_tokens=1)
    arch = space.enumerate()[7]
    lines, columns = cost.explain(arch), cost.evaluate(np.asarray(arch.code)[None])
    total = {p: sum(x["latency_ms"] for x in lines if x["phase"] == p) for p in ("prefill", "decode")}
    assert total["prefill"] == pytest.approx(columns["ttft_ms"][0], rel=0.02)
    assert total["decode"] == pytest.approx(columns["tpot_ms"][0], rel=0.02)
    assert {x["bound"] for x in lines} >= {"compute", "memory"}


def test_the_expectation_is_the_mean_over_architectures_and_has_gradients():
    torch = pytest.importorskip("torch")
    space = Space({"decoder": BASE, "tensor": oneof(1, 4)})
    cost = get("costs", "llm")(space, platform="h200")
    every, sizes = cost.evaluate(space.enumerate()), {d.path: d.size for d in space.decisions}
    even = {p: torch.full((n,), 1 / n, dtype=torch.float64, requires_grad=True) for p, n in sizes.items()}
    found = cost.expected(even)
    for metric in cost.metrics:
        assert found[metric].item() == pytest.approx(every[metric].mean())
    found["ttft_ms"].backward()
    layers = next(d for d in space.decisions if d.path.endswith("layers"))
    for k in range(2):  # a probability's gradient is the mean over the architectures with that option
        chosen = space.enumerate().codes[:, layers.index] == k
        assert even[layers.path].grad[k].item() == pytest.approx(every["ttft_ms"][chosen].mean())
    wide = Space(replace(BASE, vocab=oneof(*range(1, 2000))))
    with pytest.raises(ConfigurationError, match="at most 4096"):
        get("costs", "llm")(wide, platform="h200").expected(even)
