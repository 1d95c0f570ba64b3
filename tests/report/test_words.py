import math

import pytest

from archwright.report.words import big_integer, duration, label, number, short_number, split_metric, with_unit


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("latency_ms", 0.2834, "0.2834 ms"),
        ("accuracy_percent", 97.0, "97 %"),
        ("params_m", 0.0812, "81.2k"),
        ("energy_mj", 12345.6, "12,346 mJ"),
        ("area_mm2", 1e-7, "1e-07 mm²"),
        ("latency_ms", math.nan, "–"),
    ],
)
def test_values_are_written_with_their_unit(metric, value, text):
    assert with_unit(metric, value) == text


def test_labels_name_the_quantity_and_its_unit():
    assert label("latency_ms") == "latency (ms)"
    assert label("params_m") == "parameters (million)"
    assert label("val_accuracy_percent") == "val accuracy (%)"
    assert split_metric("hypervolume") == ("hypervolume", "")


def test_numbers_are_short():
    assert [number(v) for v in (0, 1, 0.5, 123.456, 99999, 1e7, 0.00012)] == [
        "0", "1", "0.5", "123.5", "99,999", "1e+07", "0.00012"]  # fmt: skip
    assert [short_number(v) for v in (0, 950, 999.9, 12_345, 4.56e6, 7.89e9)] == [
        "0",
        "950",
        "1k",
        "12.3k",
        "4.56M",
        "7.89G",
    ]
    assert [duration(s) for s in (0.25, 42, 151, 7300)] == ["0.2 s", "42 s", "2 min 31 s", "2 h 1 min"]
    assert big_integer(1234567) == "1,234,567" and big_integer(2**100) == "1.26 × 10³⁰"
