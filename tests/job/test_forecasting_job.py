"""A job on a user's series: its space, its metric, what it is compared with, and a network that forecasts."""

import numpy as np
import pytest
import torch

from archwright.job.config import check
from archwright.job.gradient import method_of
from archwright.job.run import run_job
from archwright.job.setup import prepare
from archwright.job.spaces import space_for
from archwright.tasks.forecasting import forecast


@pytest.fixture
def table(tmp_path):
    t = np.arange(400)
    load, price = np.sin(2 * np.pi * t / 12), np.cos(2 * np.pi * t / 12) + 0.01 * t
    rows = [f"{i},{a:.5f},{b:.5f}" for i, (a, b) in enumerate(zip(load, price, strict=True))]
    path = tmp_path / "power.csv"
    path.write_text("\n".join(["time,load,price", *rows]) + "\n")
    return path


def config(table, folder, **more):
    options = {"lookback": 24, "horizon": 6, "period": 12}
    given = {"data": f"forecast:{table}", "data_options": options, "target": "price", "out": str(folder)}
    return check(given | more, "the test")


def test_a_forecast_is_searched_among_transformers_for_its_own_horizon(table, tmp_path):
    setup = prepare(config(table, tmp_path / "run"))
    assert setup.task.input_shape == (2, 24) and setup.task.outputs == 6
    assert setup.space.digest == space_for("autoformer_ts", setup.task).digest
    assert [o.metric for o in setup.objectives] == ["mse"] and setup.objectives[0].goal == "minimize"
    own = tmp_path / "own.py"
    own.write_text(
        "from archwright.operators import Flatten, Linear, Sequential\nfrom archwright.space import oneof\n\n"
        "def space(input_shape, outputs, horizon):\n    assert (outputs, horizon) == (6, 6)\n"
        "    return Sequential((Flatten(), Linear(oneof(4, 8)), Linear(outputs)))\n"
    )
    assert prepare(config(table, tmp_path / "run", space=str(own))).space.size() == 2


def test_a_search_by_gradients_learns_the_architecture_on_the_validation_part(table, tmp_path):
    setup = prepare(config(table, tmp_path / "run", strategy="ab-darts"))
    method = method_of(setup)
    assert method.split == "valid" and method.batch == min(64, max(8, len(setup.task.valid) // 8))
    changed = config(table, tmp_path / "run", strategy="ab-darts", strategy_options={"split": "half", "batch": 16})
    assert (method_of(prepare(changed)).split, method_of(prepare(changed)).batch) == ("half", 16)


@pytest.mark.slow
def test_a_short_job_beats_the_last_value_and_says_what_it_is_compared_with(table, tmp_path, capsys):
    result = run_job(config(table, tmp_path / "run", budget="3 trials", epochs=6, strategy="random"))
    task = forecast(table, lookback=24, horizon=6, period=12, target="price")
    last = task.baselines()["last value"]["mse"]
    assert result.metrics["mse"] < 0.5 * last
    said = capsys.readouterr()
    assert f"without training, last value: mse {last:.4g} on the test part" in said.out + said.err
    assert "without training, last 12 rows" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    with torch.no_grad():
        outputs = result.network.cpu().eval()(task.test.x)
    assert task.measure(outputs, task.test.y)["mse"] == pytest.approx(result.metrics["mse"], rel=1e-3)
