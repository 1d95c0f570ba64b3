import numpy as np
import pytest
from test_browser import CHROMIUM, opened

from archwright.report import hardware
from archwright.report.cost_page import Costed, cost_page
from archwright.report.hardware import Piece, Roof
from archwright.report.html import write_page


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


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the page; install the package chromium")
def test_a_browser_draws_every_figure_of_a_cost_page(tmp_path):
    ops, moved, seconds = np.array([2e9, 4e6, 1e8]), np.array([1e6, 4e6, 1e5]), np.array([4.0, 0.4, 0.2])
    costed = [
        Costed(name, ["one line"], ["a", "b", "c"], {"latency_ms": (k * seconds).tolist()}, ops, moved, (1e12, 1e10))
        for k, name in enumerate(("one", "two"), start=1)
    ]
    page = opened(write_page(cost_page("net", costed), tmp_path / "cost.html"), tmp_path, "--dump-dom")
    body = page.split("<body")[-1]
    assert body.count('class="plot-container') == 3  # the roofline, and bars on each platform
    assert 'class="xtick"' in body and "operations per byte" in body
