import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_runs import filled, searched

from archwright.errors import ExportError
from archwright.nets.build import program_of
from archwright.operators.head import Classifier
from archwright.report import plots
from archwright.report.collect import layer_costs, progress_curve, short_label, volume_curves
from archwright.report.data import Calibration, Curve, ReportData, Section
from archwright.report.diagram import describe
from archwright.report.html import page, report, script_json, table
from archwright.report.verdict import verdict
from archwright.search.problem import Objective

TITLES = [
    "Pareto front", "Networks of the front", "The network", "Cost by layer", "Progress",
    "Progress of the front", "Feasible trials", "Which decisions matter", "Settings, and how to run it again",
]  # fmt: skip
EVIL = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'


class Reader(HTMLParser):
    """Tags with attributes, and the text of headings and paragraphs."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def figures(text):
    found = re.findall(r'<script type="application/json" data-plot="(\w+)">(.*?)</script>', text, re.S)
    return {name: json.loads(body) for name, body in found}


def test_a_full_report_has_every_section_and_every_plot_its_place():
    text = page(filled())
    reader = Reader(text)
    joined = "\n".join(reader.texts)
    for title in [*TITLES, "Predicted and measured parameters"]:
        assert title in joined
    assert 'class="missing"' not in text
    places = {attrs["id"] for tag, attrs in reader.tags if attrs.get("class") == "plot"}
    assert places == set(figures(text)) and len(places) == 7
    assert "archwright search --maximize macs_m" in joined and "1.00 (Spearman)" in joined


def test_the_page_needs_nothing_from_outside():
    text = page(filled())
    for tag, attrs in Reader(text).tags:
        for key in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(key) or ""
            assert not value or value.startswith(("#", "data:")), (tag, key, value)
    assert "@import" not in text.split("</style>")[0] and "url(" not in text.split("</style>")[0]


def test_the_front_in_the_figure_is_the_front_of_the_result():
    data, result = filled(), searched()
    figure = plots.pareto(data)
    front = next(t for t in figure["data"] if t["name"] == "front")
    assert sorted(front["x"]) == sorted(t.metrics["params_m"] for t in result.front)
    drawn = sum(len(t["x"]) for t in figure["data"] if t["name"] in ("trial", "breaks a limit"))
    assert drawn == len(result.trials)
    assert figure["layout"]["shapes"][0]["x0"] == 0.02


def test_the_progress_curve_only_improves_and_ends_at_the_best():
    result = searched()
    points = progress_curve(result, "search").points
    values, seconds = [p[2] for p in points], [p[0] for p in points]
    assert values == sorted(values) and seconds == sorted(seconds)
    assert points[-1][1:] == (len(result.trials), result.best.metrics["macs_m"])


class Multiplications:
    """An additive cost: a nanosecond for every multiply-accumulate."""

    def row_costs(self, rows):
        return {"latency_ms": rows.counts["macs"] / 1e6}


def test_layer_costs_stand_at_their_layers_in_a_readable_unit():
    architecture = searched().best.candidate.architecture
    steps = describe(architecture, (1, 8, 8)).steps
    costs = layer_costs(Multiplications(), program_of(architecture, (1, 8, 8)))
    assert costs == {"latency_ms": pytest.approx([s.macs / 1e6 for s in steps])}
    small = layer_costs(Multiplications(), program_of(Classifier(3), (4, 2, 2)))
    assert small == {"latency_us": pytest.approx([12e-3])}


def test_hypervolumes_share_one_reference_and_end_at_one():
    search, random = searched(), searched("random", 1)
    ours, theirs = volume_curves([("search", search), ("random", random)])
    assert ours.points[-1][2] == 1.0
    values = [p[2] for p in theirs.points]
    assert values == sorted(values)
    swapped = volume_curves([("random", random), ("search", search)])
    assert swapped[1].points[-1][2] == pytest.approx(1 / theirs.points[-1][2])


def test_the_exported_network_stands_where_it_was_measured_if_that_is_near():
    result = searched()
    best = result.best.metrics
    near = filled(measured={m: 0.98 * v for m, v in best.items()})
    star = next(t for t in plots.pareto(near)["data"] if t["name"] == "as measured")
    assert (star["x"], star["y"]) == ([0.98 * best["params_m"]], [0.98 * best["macs_m"]])
    assert "empty star" in page(near)
    far = filled(measured={m: 100 * v for m, v in best.items()})
    assert all(t["name"] != "as measured" for t in plots.pareto(far)["data"]) and "empty star" not in page(far)


def test_a_limit_far_from_all_trials_is_said_instead_of_drawn():
    limits = (Objective("macs_m", "maximize"), Objective("params_m", at_most=5.0))
    data = filled(objectives=limits)
    assert plots.pareto(data)["layout"]["shapes"] == []
    assert "not drawn, is the limit of parameters 5M" in page(data)


def test_the_verdict_says_value_prediction_and_limit():
    data = ReportData(
        "t", objectives=(Objective("accuracy_percent", "maximize"), Objective("latency_ms", at_most=0.3)),
        measured={"accuracy_percent": 97.5, "latency_ms": 0.25}, predicted={"latency_ms": 0.2},
    )  # fmt: skip
    assert verdict(data) == (
        "The best network has 97.5 % accuracy and 0.25 ms latency (predicted 0.2 ms); it is within the limit."
    )
    over = ReportData("t", objectives=data.objectives, measured={"accuracy_percent": 97.5, "latency_ms": 0.35})
    assert verdict(over).endswith("it breaks a limit: latency is 0.35 ms, the limit 0.3 ms.")


def test_a_run_without_anything_says_why_in_every_section():
    text = page(ReportData("nothing yet", objectives=(Objective("accuracy_percent", "maximize"),),
                           missing={"curves": "The run was stopped before its first trial."}))  # fmt: skip
    assert text.count('class="missing"') == 9 and not figures(text)
    assert "The run was stopped before its first trial." in text
    assert "No network was chosen" in text


def test_one_goal_without_limits_is_a_report_too():
    n = 12
    data = ReportData(
        "one goal", objectives=(Objective("loss_nats"),), columns={"loss_nats": np.linspace(2, 1, n)},
        states=("complete",) * n, front=(n - 1,), chosen=n - 1, curve_metric="loss_nats",
        curves=(Curve("search", [(float(i), i + 1, 2 - i / 11) for i in range(n)]),),
    )  # fmt: skip
    text = page(data)
    assert "Two metrics are needed" in text and "every complete trial is feasible" in text


def test_what_users_wrote_is_escaped_everywhere():
    data = filled(
        title=EVIL, command=EVIL, space=EVIL, settings={EVIL: EVIL}, versions={EVIL: EVIL}, labels=(EVIL,) * 60,
        importance={EVIL: 0.5}, sections=(Section(EVIL, table([EVIL], [[EVIL]]), note=EVIL),),
        calibrations=(Calibration("params_m", [1.0, 2.0], [1.0, 2.0], [EVIL, EVIL], EVIL),),
        curves=(Curve(EVIL, [(1.0, 1, 1.0)]),), missing={"baseline": EVIL},
    )  # fmt: skip
    reader = Reader(page(data))
    assert not [tag for tag, attrs in reader.tags if tag == "img" or "onerror" in attrs]
    scripts = [attrs for tag, attrs in reader.tags if tag == "script"]
    assert len([a for a in scripts if a.get("type") != "application/json"]) == 2
    for figure in figures(page(data)).values():  # Plotly reads a small HTML in texts
        assert "<img" not in json.dumps(figure)


def test_numbers_that_are_not_finite_never_reach_the_page():
    given = {"a": [math.nan, math.inf, np.float32(1.5), np.array([1, 2])], "b": "</script>"}
    assert json.loads(script_json(given)) == {"a": [None, None, 1.5, [1, 2]], "b": "</script>"}
    assert "<" not in script_json({"b": "</script>"})


def test_many_trials_are_thinned_and_the_caption_says_so():
    n = 20_000
    rng = np.random.default_rng(0)
    data = ReportData(
        "many", objectives=(Objective("accuracy_percent", "maximize"), Objective("latency_ms")),
        columns={"accuracy_percent": rng.random(n), "latency_ms": rng.random(n)}, states=("complete",) * n,
        front=(3,), chosen=3,
    )  # fmt: skip
    assert len(plots.pareto(data)["data"][0]["x"]) == plots.MOST_POINTS
    assert "Of 20,000 trials 4,000 are drawn" in page(data)


def test_a_report_replaces_the_old_one_whole(tmp_path):
    path = report(ReportData("first"), tmp_path / "new" / "report.html")
    report(ReportData("second"), path)
    assert "<title>second</title>" in path.read_text() and [p.name for p in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write the report"):
        report(ReportData("third"), tmp_path / "file" / "report.html")


def test_labels_join_the_decisions_of_one_part():
    assert short_label({"depth": 3, "parts.1.kernel": 5, "parts.1.expand": 4}) == "depth 3; 1: kernel 5, expand 4"
