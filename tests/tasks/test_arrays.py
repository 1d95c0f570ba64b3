import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_iris

from archwright import tasks
from archwright.errors import ConfigurationError
from archwright.tasks.base import Classification, Regression


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images.astype(np.uint8), data.target


def test_digits_is_split_by_class_and_standardised_on_train():
    task = tasks.load("digits", seed=3)
    assert (task.input_shape, task.outputs, task.metric) == ((1, 8, 8), 10, "accuracy_percent")
    assert len(task.train) + len(task.valid) + len(task.test) == 1797
    assert abs(float(task.train.x.mean())) < 1e-5 and abs(float(task.train.x.std()) - 1) < 1e-3
    for split in (task.train, task.valid, task.test):
        share = torch.bincount(split.y, minlength=10) / len(split)
        assert float((share - 0.1).abs().max()) < 0.01
    again, other = tasks.load("digits", seed=3), tasks.load("digits", seed=4)
    assert torch.equal(task.valid.x, again.valid.x) and not torch.equal(task.valid.y, other.valid.y)


def test_preprocessing_recomputes_the_network_input(tmp_path, digits):
    x, y = digits
    path = save(tmp_path / "d.npz", x_train=x[:1000], y_train=y[:1000], x_test=x[1000:], y_test=y[1000:])
    task = tasks.load(path)
    p = task.preprocessing
    expected = (x[1000:, None] * p["scale"] - p["mean"][0]) / p["std"][0]
    assert task.test.x.numpy() == pytest.approx(expected, abs=1e-5)
    assert p["classes"] == [str(i) for i in range(10)]


def test_all_three_parts_are_used_where_given(tmp_path, digits):
    x, y = digits
    parts = {"x_train": x[:900], "x_valid": x[900:1200], "x_test": x[1200:]}
    task = tasks.load(save(tmp_path / "d.npz", **parts, y_train=y[:900], y_valid=y[900:1200], y_test=y[1200:]))
    assert [len(task.train), len(task.valid), len(task.test)] == [900, 300, 597]
    assert task.valid.y.tolist() == y[900:1200].tolist()


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((60, 12, 12), np.uint8, (1, 12, 12)),
        ((60, 3, 16, 20), np.uint8, (3, 16, 20)),
        ((60, 16, 20, 3), np.float32, (3, 16, 20)),
        ((60, 2, 30), np.float32, (2, 30)),
        ((60, 7), np.float32, (7,)),
    ],
)
def test_layout_is_read_off_the_axes(tmp_path, shape, kind, expected):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, shape).astype(kind)
    task = tasks.load(save(tmp_path / "a.npz", x_train=x, y_train=np.arange(60) % 3))
    assert task.input_shape == expected
    assert task.train.x.dtype == torch.float32


def test_text_and_gapped_labels_are_mapped_and_the_map_is_kept(tmp_path):
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    task = tasks.load(save(tmp_path / "iris.npz", x_train=x, y_train=names))
    assert task.classes == ("setosa", "versicolor", "virginica")
    task = tasks.load(save(tmp_path / "iris.npz", x_train=x, y_train=y * 10 - 5))
    assert task.classes == ("-5", "5", "15") and sorted(set(task.train.y.tolist())) == [0, 1, 2]


def test_float_targets_are_a_regression_in_original_units():
    x, y = load_diabetes(return_X_y=True)
    task = tasks.load((x, y))
    assert isinstance(task, Regression) and task.metric == "rmse" and not task.maximize
    truth = task.test.y
    perfect = task.standardise(truth)
    assert task.measure(perfect, truth)["rmse"] == pytest.approx(0.0, abs=1e-3)
    constant = torch.zeros_like(truth)
    by_hand = float((truth - task.target_mean[0]).square().mean().sqrt())
    assert task.measure(constant, truth)["rmse"] == pytest.approx(by_hand, rel=1e-6)
    assert task.measure(constant, truth)["r2"] <= 0
    assert float(task.loss(constant, task.train.y[: len(constant)])) == pytest.approx(1.0, abs=0.5)


def test_classification_metrics_by_hand():
    task = Classification("t", (2,), 3, None, None, None, classes=("a", "b", "c"))  # type: ignore[arg-type]
    outputs = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [2.0, 0, 0]])
    measured = task.measure(outputs, torch.tensor([0, 1, 1, 1]))
    assert measured["accuracy_percent"] == 75.0 and measured["error_percent"] == 25.0
    assert measured["balanced_accuracy_percent"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    right, wrong = np.log(np.exp(2) + 2) - 2, np.log(np.exp(2) + 2)
    assert measured["cross_entropy_nats"] == pytest.approx((3 * right + wrong) / 4, rel=1e-6)


def bad(**change):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(40, 5)).astype(np.float32), "y_train": np.arange(40) % 2}
    return {k: v for k, v in (arrays | change).items() if v is not None}


def nan_row():
    x = bad()["x_train"].copy()
    x[7, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (bad(x_train=np.array([{"a": 1}] * 40, dtype=object)), "pickles"),
        (bad(y_train=np.arange(39)), "x_train has 40 rows and y_train 39"),
        (bad(x_train=nan_row()), "first in row 7"),
        (bad(y_train=np.zeros(40, int)), "two classes"),
        (bad(y_train=None), "x_train but no y_train"),
        (bad(x_train=None, y_train=None, images=np.zeros((3, 4))), r"must hold x_train and y_train.*images"),
        (bad(x_test=np.zeros((5, 6), np.float32), y_test=np.arange(5) % 2), "one input shape"),
        (bad(x_test=np.zeros((5, 5), np.float32), y_test=np.arange(5)), "label 2, which is not in y_train"),
        (bad(y_train=np.array([0] * 39 + [1])), "only one row"),
        (bad(y_train=np.arange(40) / 7.0 * np.nan), "finite"),
        (bad(x_train=np.zeros((2, 2, 2, 2, 2))), "must be images"),
        (bad(x_train=np.array(["a"] * 40)), "must hold numbers"),
    ],
)
def test_bad_arrays_give_one_clear_error(tmp_path, arrays, message):
    path = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ConfigurationError, match=message):
        tasks.load(path)


def test_broken_and_missing_files_are_named(tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 this is no archive")
    with pytest.raises(ConfigurationError, match=r"broken\.npz cannot be read"):
        tasks.load(broken)
    with pytest.raises(ConfigurationError, match=r"nowhere\.npz"):
        tasks.load(tmp_path / "nowhere.npz")
    with pytest.raises(ConfigurationError, match="did you mean 'digits'"):
        tasks.load("digit")
    with pytest.raises(ConfigurationError, match=r"takes no option 'sede'; did you mean 'seed'"):
        tasks.load("digits", sede=1)


def test_large_uint8_data_stays_uint8_and_gives_the_same_batches(tmp_path, digits, monkeypatch):
    x, y = digits
    path = save(tmp_path / "d.npz", x_train=x, y_train=y)
    ready = tasks.load(path)
    monkeypatch.setattr("archwright.tasks.prepare.LAZY_BYTES", 1000)
    lazy = tasks.load(path)
    assert lazy.train.x.dtype == torch.uint8
    for (a, _), (b, _) in zip(ready.valid.batches(100), lazy.valid.batches(100), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_shuffled_batches_cover_every_example_once_and_none_is_tiny():
    task = tasks.load("digits")
    batches = list(task.train.batches(64, rng=np.random.default_rng(0), shuffle=True))
    sizes = [len(y) for _, y in batches]
    assert sum(sizes) == len(task.train) and max(sizes) - min(sizes) <= 1
    total = torch.cat([x for x, _ in batches]).double().sum()
    assert float(total) == pytest.approx(float(task.train.x.double().sum()), abs=1e-3)


def test_shift_moves_whole_images_and_flip_mirrors():
    from archwright.tasks.augment import ShiftFlip

    x = torch.arange(2 * 1 * 4 * 4, dtype=torch.float32).reshape(2, 1, 4, 4) + 1
    moved = ShiftFlip(1, False)(x.repeat(100, 1, 1, 1), np.random.default_rng(0))
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    legal = {
        tuple(padded[i, 0, a : a + 4, b : b + 4].flatten().tolist()) for i in (0, 1) for a in range(3) for b in range(3)
    }
    seen = {tuple(m.flatten().tolist()) for m in moved}
    assert seen <= legal and len(seen) > 12
    flipped = ShiftFlip(0, True)(x.repeat(50, 1, 1, 1), np.random.default_rng(0))
    assert {tuple(f.flatten().tolist()) for f in flipped} == {
        tuple(v.flatten().tolist()) for i in (0, 1) for v in (x[i], x[i].flip(-1))
    }
    series = torch.randn(6, 2, 10)
    assert ShiftFlip(2, False)(series, np.random.default_rng(0)).shape == (6, 2, 10)
