import json

import numpy as np
import pytest

from archwright.costs import collectives, decoder, llm
from archwright.costs.llm import Device, Split, Widths
from archwright.costs.llm_operators import attended
from archwright.data import data_root
from archwright.errors import ConfigurationError

H200 = Device(989e12, 4.8e12, 141e9, 450e9, 2e-6)
BF16 = Widths(2.0, 2.0, 2.0)
TINY = decoder.Decoder(hidden=8, layers=1, heads=2, kv_heads=1, head_dim=4, ffn=16, gates=2, vocab=32)


def test_weights_of_a_tiny_decoder_by_hand():
    # attention 8*4*(2*2 + 2*1) = 192, feed-forward 8*16*3 = 384, embedding and classifier 2*32*8 = 512
    assert TINY.weights == 192 + 384 + 512
    assert TINY.active_weights == 192 + 384 + 256


@pytest.mark.parametrize(("name", "billions"), [("llama-2-7b", 6.74), ("llama-3.1-8b", 8.03), ("mixtral-8x7b", 46.7)])
def test_published_sizes_are_met_without_norms_and_biases(name, billions):
    assert decoder.decoder(name).weights / 1e9 == pytest.approx(billions, rel=2e-3)


def test_a_hub_configuration_gives_the_same_shape():
    config = {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    }  # fmt: skip
    assert decoder.from_config(config) == decoder.decoder("llama-3.1-8b")
    small = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None, "vocab_size": 50257}
    assert decoder.from_config(small) == decoder.decoder("gpt2")  # plain feed-forward, tied embeddings by default
    with pytest.raises(ConfigurationError, match="vocab_size"):
        decoder.from_config({k: v for k, v in config.items() if k != "vocab_size"})


def test_causal_pairs_by_hand():
    assert attended(4.0, 0.0, 0.0) == 10  # 1 + 2 + 3 + 4
    assert attended(4.0, 0.0, 2.0) == 7  # 1 + 2 + 2 + 2
    assert attended(1.0, 9.0, 0.0) == 10
    assert attended(2.0, 3.0, 2.0) == 4
    assert attended(3.0, 0.0, 9.0) == 6


def test_ring_all_reduce_by_hand():
    # four devices: 5 us + 6 steps of 1 us + 6 * (4e6 / 4) bytes / 1e12 B/s = 17 us
    assert collectives.all_reduce_s(4e6, 4, 1e12, 1e-6) == pytest.approx(17e-6)
    assert collectives.all_reduce_s(4e6, 1, 1e12, 1e-6) == 0


def test_prefill_is_compute_bound_and_decoding_memory_bound():
    model = decoder.decoder("llama-2-7b")
    prefill = llm.explain(model, H200, batch=1, queries=2048.0, cached=0.0, widths=BF16)
    decode = llm.explain(model, H200, batch=1, queries=1, cached=2048.0, widths=BF16)

    def share(lines, bound):
        return sum(x["latency_ms"] for x in lines if x["bound"] == bound) / sum(x["latency_ms"] for x in lines)

    assert share(prefill, "compute") > 0.8
    assert share(decode, "memory") > 0.99


def test_decoding_one_token_reads_every_weight_once():
    model = decoder.decoder("llama-2-7b")
    time = llm.pass_s(model, H200, 1.0, 1.0, 0.0, BF16, Split(), resident=True)
    embedding = model.vocab * model.hidden
    assert time * H200.memory_b_per_s / 2 == pytest.approx(model.weights - embedding, rel=1e-3)


def test_chunks_do_the_same_work_and_cost_more_weight_reads():
    model = decoder.decoder("llama-2-7b")
    whole, chunked = (llm.prefill_s(model, H200, 1.0, 4096.0, BF16, Split(), c) for c in (None, 512))
    assert whole < chunked < 2 * whole
    pairs = sum(attended(512.0, float(s), 0.0) for s in range(0, 4096, 512))
    assert pairs == attended(4096.0, 0.0, 0.0)


def test_more_bandwidth_compute_or_link_is_never_slower():
    rng = np.random.default_rng(0)
    n = 200
    base = Device(
        *(rng.uniform(low, high, n) for low, high in ((1e13, 1e15), (1e11, 5e12), (1e12, 2e12), (1e10, 1e12))), 1e-6
    )
    arguments = dict(
        batch=rng.integers(1, 32, n), input_tokens=rng.integers(16, 4096, n), output_tokens=64.0,
        widths=BF16, split=Split(tensor=rng.integers(1, 9, n)),
    )  # fmt: skip
    model = decoder.decoder("llama-3.1-8b")
    before = llm.serve(model, base, **arguments)
    for field in ("ops_per_s", "memory_b_per_s", "link_b_per_s"):
        after = llm.serve(model, base._replace(**{field: 2 * getattr(base, field)}), **arguments)
        for metric in ("ttft_s", "tpot_s", "latency_s"):
            assert (getattr(after, metric) <= getattr(before, metric) * (1 + 1e-12)).all(), (field, metric)


def test_what_does_not_fit_is_nan_with_a_reason():
    model = decoder.decoder("llama-2-70b")
    got = llm.serve(
        model, H200, batch=np.array([1.0, 512.0]), input_tokens=4096.0, output_tokens=1.0, widths=Widths(1, 2, 2)
    )
    assert llm.REASONS[got.reason[0]] == "fits"
    assert np.isfinite(got.ttft_s[0])
    assert np.isnan(got.ttft_s[1])
    assert "exceed the memory" in llm.REASONS[got.reason[1]]


def test_random_routing_hits_more_experts_with_more_tokens():
    model = decoder.decoder("mixtral-8x7b")
    times = [llm.pass_s(model, H200, b, 1.0, 100.0, BF16, Split(), resident=True) for b in (1.0, 4.0, 64.0)]
    assert times[0] < times[1] < times[2]
    # one token reads two of eight experts, many tokens read all: 46.7 against 12.9 billion weights
    assert times[2] / times[0] == pytest.approx(46.7 / 12.9, rel=0.1)


@pytest.mark.data
def test_genz_is_reproduced_on_dense_decoders():
    root = data_root()
    if root is None or not (root / "hw" / "genz.json").exists():
        pytest.skip("the GenZ cases are not below ARCHWRIGHT_DATA")
    for c in json.loads((root / "hw" / "genz.json").read_text())["cases"]:
        p = c["system_params"]
        device = llm.genz_device(p["Flops"], p["Memory_size"], p["Memory_BW"], p["ICN"], c["bits"])
        got = llm.genz_latency_s(
            decoder.decoder(c["model"]), device, c["batch"], c["input_tokens"], c["bits"],
            decode=c["phase"] == "decode", split=Split(tensor=c["tp"]),
        )  # fmt: skip
        assert 1e3 * got == pytest.approx(c["latency_ms"], rel=1e-9)
