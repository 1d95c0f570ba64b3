"""Series to windows: parts in the order of time, views in place of copies, named faults, published baselines."""

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.data import data_root
from archwright.errors import ConfigurationError
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.tasks.forecasting import Forecasting, forecast

needs_series = pytest.mark.skipif(
    data_root() is None or not (data_root() / "train/ETTh1.parquet").exists(),
    reason="the real series need the folder of ARCHWRIGHT_DATA",
)


def counting(rows=100, columns=2):
    """Series whose values say where they stand: column j holds 1000 j + row."""
    return np.arange(rows)[:, None] + 1000.0 * np.arange(columns)


def raw(task, values):
    """Standardised values (n, columns, rows) in original units."""
    mean, std = (torch.tensor(task.preprocessing[k])[:, None] for k in ("mean", "std"))
    return values * std + mean


def test_parts_follow_each_other_and_only_inputs_reach_back():
    task = forecast(counting(), lookback=8, horizon=4, rows=(60, 15, 20))
    assert task.input_shape == (2, 8) and task.outputs == 8 and task.kind == "forecasting"
    assert [len(task.split(p)) for p in ("train", "valid", "test")] == [60 - 8 - 4 + 1, 15 - 4 + 1, 20 - 4 + 1]
    for part, first, last in (("train", 8, 59), ("valid", 60, 74), ("test", 75, 94)):
        split = task.split(part)
        x, y = raw(task, split.x), raw(task, split.y)
        assert x.shape == (len(split), 2, 8) and y.shape == (len(split), 2, 4)
        torch.testing.assert_close(y[0, 0], torch.arange(first, first + 4.0))
        torch.testing.assert_close(y[-1, 1], torch.arange(1000.0 + last - 3, 1000.0 + last + 1))
        torch.testing.assert_close(x[..., -1] + 1, y[..., 0])  # a target goes on where its input ends


def test_shares_split_by_rows_and_the_rest_of_the_rounding_validates():
    task = forecast(counting(966), lookback=36, horizon=24)
    assert task.preprocessing["rows"] == [676, 97, 193]


def test_statistics_come_from_the_training_rows_alone():
    values = counting(100, 3)
    values[60:] *= 50.0
    values[:60, 2] = 7.0
    task = forecast(values, lookback=4, horizon=2, rows=(60, 20, 20))
    np.testing.assert_allclose(task.preprocessing["mean"], values[:60].mean(axis=0))
    np.testing.assert_allclose(task.preprocessing["std"], [*values[:60, :2].std(axis=0), 1.0])


def test_windows_are_views_of_one_series():
    task = forecast(counting(4000), lookback=300, horizon=50, target="1")
    held = {split.x.untyped_storage().data_ptr() for split in (task.train, task.valid, task.test)}
    assert len(held) == 1 and task.train.x.untyped_storage().nbytes() == 4000 * 2 * 4
    assert task.train.y.untyped_storage().data_ptr() in held and task.preprocessing["columns"] == ["1", "0"]
    assert task.train.x.numel() > 100 * 4000


def test_errors_of_standardised_values_are_those_computed_by_hand():
    task = forecast(np.random.default_rng(0).normal(size=(200, 3)), lookback=10, horizon=5)
    outputs = torch.randn(len(task.test), task.outputs)
    gap = outputs.numpy() - task.test.y.numpy().reshape(len(task.test), -1)
    found = task.measure(outputs, task.test.y)
    np.testing.assert_allclose([found["mse"], found["mae"]], [(gap**2).mean(), np.abs(gap).mean()], rtol=1e-5)
    halves = [(outputs[:7], task.test.y[:7]), (outputs[7:], task.test.y[7:])]
    assert task.measure_batches(halves) == pytest.approx(found)
    assert float(task.loss(outputs, task.test.y)) == pytest.approx(found["mse"], rel=1e-5)


def test_baselines_repeat_the_last_row_and_the_last_period():
    rows = np.arange(300)
    saw = np.stack([rows % 6, (rows % 6) ** 2], axis=1).astype(float)
    task = forecast(saw, lookback=12, horizon=9, period=6, target="1")
    found = task.baselines()
    assert found["last 6 rows"] == {"mse": 0.0, "mae": 0.0}
    y, last = task.test.y, task.test.x[:, :1, -1:]
    assert found["last value"]["mse"] == pytest.approx(float((y - last).square().mean()), rel=1e-5)
    assert set(forecast(saw, lookback=12, horizon=9).baselines("valid")) == {"last value"}


def test_a_network_learns_what_no_baseline_knows():
    t = np.arange(700)
    waves = np.stack([np.sin(t / 5.0), np.cos(t / 3.0)], axis=1)
    task = forecast(waves, lookback=24, horizon=6)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, task.outputs))
    train(net, task, Recipe(epochs=15, lr=0.01, batch=32), seed=0)
    assert evaluate(net, task, "test")["mse"] < 0.05 * task.baselines()["last value"]["mse"]


@pytest.fixture
def table(tmp_path):
    lines = ["date,load,price,note"]
    lines += [f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i},{i % 24}.5,x" for i in range(240)]
    path = tmp_path / "power.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_files_are_read_by_prefix_without_their_time(table):
    task = tasks.load(
        f"forecast:{table}", columns=["load", "price"], lookback=24, horizon=12, target=["price"], period=24
    )
    assert isinstance(task, Forecasting) and task.name == "power" and task.preprocessing["targets"] == ["price"]
    assert task.preprocessing["columns"] == ["price", "load"] and task.outputs == 12
    assert task.baselines()["last 24 rows"]["mse"] == pytest.approx(0.0, abs=1e-10)


def test_parquet_with_times_and_single_arrays_are_read(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    when = np.datetime64("2024-01-01T00", "us") + np.arange(90) * np.timedelta64(3600, "s")
    parquet.write_table(pyarrow.table({"when": when, "a": np.arange(90.0)}), tmp_path / "a.parquet")
    task = tasks.load(f"forecast:{tmp_path / 'a.parquet'}", time="when", lookback=6, horizon=3)
    assert task.preprocessing["columns"] == ["a"]
    (tmp_path / "c.csv").write_text("load\n" + "\n".join(map(str, range(90))) + "\n")
    assert tasks.load(f"forecast:{tmp_path / 'c.csv'}", lookback=6, horizon=3).preprocessing["columns"] == ["load"]
    np.savez(tmp_path / "b.npz", series=np.arange(90.0))
    assert tasks.load(f"forecast:{tmp_path / 'b.npz'}", lookback=6, horizon=3).input_shape == (1, 6)


def with_gap():
    values = counting()
    values[17, 1] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (counting(40), {"lookback": 24, "horizon": 8}, r"training part has 28 of 40 rows and needs 32"),
        (counting(100), {"lookback": 24, "horizon": 12}, r"validation part has 10 of 100 rows and needs 12"),
        (with_gap(), {}, r"column '1' has 1 gaps or infinite values, the first in row 17"),
        (counting(), {"columns": ["0", "7"]}, r"no column '7'"),
        (counting(), {"columns": "0", "target": "1"}, r"inputs of series have no column '1'"),
        (counting(), {"target": ["1", "1"]}, r"each once, beside the time; got \['1', '1'\]"),
        (counting(), {"horizon": 0}, r"one row or more, got 96 and 0"),
        (counting(), {"rows": (80, 30, 10)}, r"three positive numbers .* together at most the 100 rows"),
        (counting(), {"test_share": 0.95}, r"together below 1"),
        (counting(500), {"lookback": 8, "period": 24}, r"at most the lookback of 8 rows, got 24"),
        (counting()[:, :, None], {}, r"shape \(rows,\) or \(rows, columns\), got float64 of shape \(100, 2, 1\)"),
        (np.array(["a", "b"]), {}, r"must be numbers"),
    ],
)
def test_faults_of_series_and_options_are_named(values, options, message):
    with pytest.raises(ConfigurationError, match=message):
        forecast(values, **options)


def test_faults_of_files_are_named(table, tmp_path):
    with pytest.raises(ConfigurationError, match=r"column 'note' holds text such as 'x'"):
        forecast(table, lookback=24, horizon=12)
    with pytest.raises(ConfigurationError, match=r"no column 'lod'.*load"):
        forecast(table, columns=["lod"])
    head, *rows = table.read_text().splitlines()
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([head, *rows[100:], *rows[:100]]) + "\n")
    with pytest.raises(ConfigurationError, match=r"row 140 has the date 2024-01-01 00:00 after 2024-01-10 23:00; sort"):
        forecast(mixed, columns=["load"])
    with pytest.raises(ConfigurationError, match=r"no file"):
        tasks.load("forecast:nowhere.csv")
    with pytest.raises(ConfigurationError, match=r"no option 'lookbak'; .*lookback"):
        tasks.load(f"forecast:{table}", lookbak=3)


@needs_series
@pytest.mark.parametrize(
    ("name", "columns", "windows", "mse", "mae"),
    [  # errors of "Repeat" in Zeng et al., 2023, "Are Transformers Effective for Time Series Forecasting?"
        ("etth1", 7, (8449, 2785, 2785), 1.295, 0.713),
        ("etth2", 7, (8449, 2785, 2785), 0.432, 0.422),
        ("exchange_rate", 8, (5120, 665, 1422), 0.081, 0.196),
    ],
)
def test_the_last_value_has_its_published_error_on_real_series(name, columns, windows, mse, mae):
    task = tasks.load(name)
    assert task.input_shape == (columns, 96) and task.outputs == columns * 96
    assert tuple(len(task.split(p)) for p in ("train", "valid", "test")) == windows
    found = task.baselines()["last value"]
    assert found["mse"] == pytest.approx(mse, abs=1e-3) and found["mae"] == pytest.approx(mae, abs=1e-3)


@needs_series
def test_the_last_value_has_its_published_error_on_illness_if_the_last_short_batch_is_left_out():
    task = tasks.load("national_illness")
    x, y = task.test.x[:160], task.test.y[:160]  # whole batches of 32, as in the published evaluation
    found = task.measure(x[:, :, -1:].expand(-1, -1, 24).flatten(1), y)
    assert len(task.test) == 170
    assert found["mse"] == pytest.approx(6.587, abs=1e-3) and found["mae"] == pytest.approx(1.701, abs=1e-3)
