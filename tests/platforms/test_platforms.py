import pytest

from archwright.errors import ConfigurationError
from archwright.platforms import load, names, parse
from archwright.space.choices import Choice

GOOD = """
title = "a chip"
kind = "systolic"
[array]
rows = 8
cols = 4
dataflow = "ws"
frequency_hz = 1e9
input_buffer_b = 1024
weight_buffer_b = 1024
output_buffer_b = 1024
[memory]
b_per_s = 1e9
[sources]
array = "a paper"
memory = "a datasheet"
"""


@pytest.mark.parametrize("name", names())
def test_every_platform_is_valid_and_says_where_its_numbers_are_from(name):
    platform = load(name)
    assert platform.name == name
    assert platform.sources
    assert all(len(text) > 10 for _, text in platform.sources)


def test_the_promised_platforms_are_there():
    wanted = {"h200", "h100", "a100", "mi300x", "tpu_like", "eyeriss", "shidiannao", "arria10", "stratix10", "edge_npu"}
    assert wanted <= set(names())
    assert {f"nvdla_{m}" for m in (32, 64, 128, 256, 512, 1024, 2048)} <= set(names())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 8", "rows = -8", "array.rows: input should be greater than or equal to 1, got -8"),
        ("b_per_s = 1e9", "b_per_s = 0", "memory.b_per_s: input should be greater than 0, got 0"),
        ("b_per_s = 1e9", "b_per_s = nan", "memory.b_per_s"),
        ("b_per_s = 1e9", "gb_per_s = 1.0", "did you mean 'b_per_s'"),
        ("b_per_s = 1e9", 'b_per_s = "1 GB/s"', "memory.b_per_s"),
        ('dataflow = "ws"', 'dataflow = "wx"', "array.dataflow"),
        ("[memory]\nb_per_s = 1e9\n", "", "'memory' names no number"),
        ('memory = "a datasheet"', "", "memory.b_per_s has no source"),
        ('kind = "systolic"', 'kind = "fpga"', r"needs the section \[fpga\]"),
        ("rows = 8", "rows = { oneof = [4, 0] }", "array.rows"),
        ("rows = 8", "rows = { any = [4, 8] }", "oneof"),
        ("title", "tite", "tite"),
        ("[array]", "[array", "not valid TOML"),
    ],
)
def test_a_bad_platform_is_a_one_line_error(old, new, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse(GOOD.replace(old, new), name="chip")
    assert "\n" not in str(caught.value)


def test_choices_in_a_file_make_the_platform_part_of_a_space():
    platform = parse(GOOD.replace("rows = 8", "rows = { oneof = [4, 8, 16] }"))
    assert isinstance(platform.array.rows, Choice)
    assert platform.array.rows.options == (4, 8, 16)


def test_a_missing_section_is_named_with_what_there_is():
    with pytest.raises(ConfigurationError, match=r"needs a \[compute\] section.*array"):
        parse(GOOD).need("compute", "roofline")


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'eyeriss'"):
        load("eyeris")


def test_a_folder_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("ARCHWRIGHT_PLATFORMS", str(tmp_path))
    (tmp_path / "chip.toml").write_text(GOOD)
    assert load("chip").title == "a chip"
    assert "chip" in names()
