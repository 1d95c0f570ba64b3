import json

import pytest
from typer.testing import CliRunner

from archwright.cli import app
from archwright.errors import ArchwrightError

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
}  # fmt: skip


def lines(net, platform, *flags):
    """What `archwright cost` prints, without the line that names the platform."""
    done = CliRunner().invoke(app, ["cost", str(net), "--platform", platform, *flags], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [x.strip() for x in done.output.splitlines() if x.startswith("  ")]


def value(found, metric):
    return float(next(x for x in found if x.startswith(f"{metric} = ")).split(" = ")[1])


@pytest.fixture
def llama(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    return path


def test_a_space_is_summarised_and_explained():
    short, long = (lines("nasbench201", "nvdla_256", "--input", "3,16,16", *e) for e in ((), ("--explain",)))
    assert any(x.startswith("latency_ms: ") for x in short)
    assert len(long) > len(short) + 20


def test_a_language_models_configuration_is_served(llama):
    found = lines(llama, "h200", "--explain")
    assert "8.03 billion weights" in found[0]
    memory_bound = [x for x in found if x.startswith(("decode qkv", "decode ffn_up", "decode ffn_down"))]
    assert len(memory_bound) == 3
    assert all("memory bound" in x for x in memory_bound)


def test_serving_in_chunks_and_over_devices_changes_what_it_should(llama):
    whole = lines(llama, "h200", "--tokens-in", "4096")
    chunked = lines(llama, "h200", "--tokens-in", "4096", "--chunk", "256")
    shared = lines(llama, "h200", "--tokens-in", "4096", "--tensor", "4")
    assert "in chunks of 256" in chunked[0] and "4 devices" in shared[0]
    assert value(chunked, "ttft_ms") > value(whole, "ttft_ms")  # weights are read by every chunk
    assert value(chunked, "memory_gb") < value(whole, "memory_gb")  # activations of one chunk only
    assert value(chunked, "tpot_ms") == value(whole, "tpot_ms")
    assert value(shared, "ttft_ms") < value(whole, "ttft_ms")
    assert value(shared, "memory_gb") < 0.3 * value(whole, "memory_gb")


def test_a_page_shows_rooflines_and_every_platform(tmp_path):
    path = tmp_path / "cost.html"
    lines("nasbench201", "h200,eyeriss", "--report", str(path))
    page = path.read_text()
    for words in ("Roofline", "Latency by layer on h200", "Energy by layer on eyeriss", "most multiply-accumulates"):
        assert words in page
    assert page.count('class="plot"') >= 4
    assert "http" not in page.split("<body>")[1]


def test_mistakes_are_named(tmp_path):
    texts = {
        "text.onnx": "words", "broken.json": "{", "other.json": "{}", "mamba.json": '{"model_type": "mamba"}',
        "negative.json": json.dumps(LLAMA | {"hidden_size": -4}),
    }  # fmt: skip
    files = {name: str(tmp_path / name) for name in texts}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for flags, words in (
        (("nasbench201", "--input", "3,x"), "--input reads like"),
        (("nasbench201", "--platform", ","), "names at least one platform"),
        (("missing.onnx",), "there is no file"),
        (("nasbench201", "--platform", "h2000"), "did you mean 'h200'"),
        (("nasbench201", "--chunk", "8"), "--chunk is for language models"),
        (("nasbench201", "--platform", "eyeriss", "--dtype", "fp8"), "has words of its own"),
        ((files["text.onnx"],), "cannot be read as an ONNX file"),
        ((files["broken.json"],), "is not valid JSON"),
        ((files["other.json"],), "expected an architecture written by archwright"),
        ((files["mamba.json"],), "expected the configuration of a decoder"),
        ((files["negative.json"],), "hidden_size of a configuration is a positive integer, got -4"),
    ):
        with pytest.raises(ArchwrightError, match=words):
            CliRunner().invoke(app, ["cost", *flags], catch_exceptions=False)


@pytest.mark.slow
def test_an_architecture_file_is_costed(tmp_path):
    import numpy as np

    from archwright.spaces.nasbench201 import nasbench201

    arch = nasbench201().sample(1, np.random.default_rng(0))[0]
    (tmp_path / "architecture.json").write_text(arch.to_json())
    found = lines(tmp_path / "architecture.json", "eyeriss")
    assert found[0].startswith("latency_ms = ")


def test_what_a_platform_cannot_give_is_left_out_with_the_reason():
    found = lines("nasbench201", "a100", "--dtype", "fp8", "--input", "3,16,16")
    assert found == ["latency_ms and energy_mj: the platform 'a100' gives no rate for fp8"]


def test_a_spaces_explained_network_is_the_one_with_most_work():
    found = lines("nasbench201", "eyeriss", "--input", "3,16,16", "--explain")
    assert sum("SameConv" in x for x in found) > sum("AvgPool" in x for x in found)


@pytest.mark.parametrize("platform", ["h200", "eyeriss", "edge_npu"])
def test_an_encoders_configuration_is_costed_on_every_kind_of_platform(tmp_path, platform):
    path = tmp_path / "config.json"
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    path.write_text(json.dumps({"model_type": "vit", "image_size": 32, "patch_size": 8} | shape))
    one = value(lines(path, platform), "latency_ms")
    path.write_text(json.dumps({"model_type": "bert"} | shape))
    short, long = (value(lines(path, platform, "--tokens-in", n), "latency_ms") for n in ("64", "256"))
    assert one > 0 and 0 < short < long
