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
