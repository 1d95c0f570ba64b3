import numpy as np

from archwright.report import hardware
from archwright.report.cost_page import Costed, cost_page
from archwright.report.hardware import Piece, Roof


def roof(**more):
    values = {
        "name": "chip", "ops_per_s": 1e12, "b_per_s": 1e10, "layers": ["a", "b", "idle"],
        "ops": [2e9, 4e6, 0.0], "moved_b": [1e6, 4e6, 8.0], "seconds": [4e-3, 4e-4, 1e-6],
    }  # fmt: skip
    return Roof(**{**values, **more})


def test_points_of_a_roofline_by_hand():
    x, y, rows = roof().points()
    assert rows.tolist() == [0, 1]  # a layer without operations has no place on it
    assert x.tolist() == [2000.0, 1.0]
    assert np.allclose(y, [5e11, 1e10])


def test_the_roof_bends_where_bandwidth_meets_the_peak():
    line = hardware.roofline([roof()])["data"][0]
    assert line["x"][1] == 100.0
    assert line["y"][1:] == [1e12, 1e12]
    assert line["y"][0] == 1e10 * line["x"][0]


def test_layers_without_operations_give_no_roofline():
    assert hardware.roofline([roof(ops=[0.0, 0.0, 0.0])]) is None
    assert hardware.roofline([]) is None


def test_names_of_users_stay_text():
    figure = hardware.roofline([roof(name="<b>x</b>", layers=["<i>", "b", "c"])])
    assert "<b>" not in str(figure) and "<i>" not in str(figure)


def test_small_layers_are_summed_up():
    figure = hardware.layer_bars([f"l{i}" for i in range(40)], list(range(1, 41)), "latency_ms")
    bars = figure["data"][0]
    assert len(bars["x"]) == hardware.MOST_LAYERS + 1
    assert sum(bars["x"]) == sum(range(1, 41))


def test_a_schedule_has_one_row_a_machine_and_one_colour_a_network():
    pieces = [Piece("m1", "a", "x", 0.0, 2.0), Piece("m2", "b", "y", 1.0, 1.0), Piece("m1", "b", "z", 2.0, 3.0)]
    figure = hardware.schedule(pieces, "ms")
    assert [t["name"] for t in figure["data"]] == ["a", "b"]
    assert figure["data"][1]["base"] == [1.0, 2.0]
    assert figure["layout"]["yaxis"]["categoryarray"] == ["m2", "m1"]


def test_a_page_names_what_a_platform_cannot_give():
    good = Costed("fast", ["one line"], ["a", "b"], {"latency_ms": [1.0, 2.0]}, [2e9, 4e6], [1e6, 1e6], (1e12, 1e10))
    bad = Costed("dark", [], ["a", "b"], {"latency_ms": [np.nan, np.nan]}, [2e9, 4e6], [1e6, 1e6])
    page = cost_page("net<1>", [good, bad]).split("<body>")[1]
    assert "The quickest is 3 ms on fast" in page
    assert "Without a peak rate or times: dark" in page
    assert "net&lt;1&gt;" in page
