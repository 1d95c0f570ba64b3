import json

import pytest

from archwright.commands import cost as command


def lines(net, platform, **options):
    values = {"shape": (3, 16, 16), "outputs": 10, "batch": 1, "explain": False} | options
    return list(command._lines(str(net), platform, *values.values()))


def test_a_space_is_summarised_and_explained():
    short, long = (lines("nasbench201", "nvdla_256", explain=e) for e in (False, True))
    assert any(x.startswith("latency_ms: ") for x in short)
    assert len(long) > len(short) + 20


def test_a_language_models_configuration_is_served(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
    }))  # fmt: skip
    found = lines(path, "h200", explain=True)
    assert "8.03 billion weights" in found[0]
    memory_bound = [x for x in found if x.startswith(("qkv", "ffn_up", "ffn_down"))]
    assert len(memory_bound) == 3
    assert all("memory bound" in x for x in memory_bound)


@pytest.mark.slow
def test_an_architecture_file_is_costed(tmp_path):
    import numpy as np

    from archwright.spaces.nasbench201 import nasbench201

    arch = nasbench201().sample(1, np.random.default_rng(0))[0]
    (tmp_path / "architecture.json").write_text(arch.to_json())
    found = lines(tmp_path / "architecture.json", "eyeriss", shape=(3, 32, 32))
    assert found[0].startswith("latency_ms = ")
