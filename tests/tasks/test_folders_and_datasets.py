import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from archwright import tasks
from archwright.errors import ConfigurationError, EvaluationError

PLANES, LABELS = load_digits(return_X_y=True)
PLANES = (PLANES.reshape(-1, 8, 8) * 15).astype(np.uint8)


def folder_of(root, count=120, mode="L"):
    for i in range(count):
        place = root / f"digit_{LABELS[i] % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PLANES[i]).convert(mode).save(place / f"{i:04d}.png")
    return root


def test_a_folder_of_class_folders_is_read_exactly(tmp_path):
    task = tasks.load(folder_of(tmp_path / "data"))
    assert task.input_shape == (1, 8, 8) and task.classes == ("digit_0", "digit_1", "digit_2")
    p = task.preprocessing
    assert p["size"] == [8, 8] and p["mode"] == "L"
    raw = (task.train.x * p["std"][0] + p["mean"][0]) / p["scale"]
    known = {PLANES[i].tobytes() for i in range(120)}
    assert all(np.rint(r.numpy()[0]).astype(np.uint8).tobytes() in known for r in raw)


def test_train_valid_and_test_folders_and_sizes_are_honoured(tmp_path):
    for part, count in (("train", 60), ("val", 30), ("test", 40)):
        folder_of(tmp_path / part, count, mode="RGB")
    task = tasks.load(str(tmp_path), size=12)
    assert task.input_shape == (3, 12, 12)
    assert [len(task.train), len(task.valid), len(task.test)] == [60, 30, 40]


def test_an_unreadable_image_is_named_or_skipped_with_a_report(tmp_path):
    root = folder_of(tmp_path / "data")
    broken = root / "digit_1" / "broken.png"
    broken.write_bytes(b"\x89PNG nothing")
    with pytest.raises(ConfigurationError, match=r"broken\.png cannot be read"):
        tasks.load(root)
    with pytest.warns(UserWarning, match=r"1 of 121 images.*broken\.png"):
        task = tasks.load(root, skip_unreadable=True)
    assert task.preprocessing["skipped"] == [str(broken)]
    assert len(task.train) + len(task.valid) + len(task.test) == 120


def test_a_folder_without_class_folders_says_what_is_missing(tmp_path):
    Image.fromarray(PLANES[0]).save(tmp_path / "loose.png")
    with pytest.raises(ConfigurationError, match="1 loose images"):
        tasks.load(tmp_path)


class Digits(Dataset):
    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __len__(self):
        return self.stop - self.start

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError(i)
        return torch.from_numpy(PLANES[self.start + i]).float()[None] / 255, int(LABELS[self.start + i])


class Stream(IterableDataset):
    def __iter__(self):
        yield from (Digits(0, 100)[i] for i in range(100))


def test_two_datasets_become_train_valid_and_test_halves():
    task = tasks.load((Digits(0, 300), Digits(300, 500)))
    assert task.input_shape == (1, 8, 8) and task.outputs == 10
    assert len(task.train) == 300 and len(task.valid) + len(task.test) == 200
    x, y = next(task.train.batches(16, rng=np.random.default_rng(0), shuffle=True))
    assert x.shape[1:] == (1, 8, 8) and y.dtype == torch.int64


def test_tensor_datasets_stay_in_memory_and_loaders_are_unwrapped():
    data = TensorDataset(torch.from_numpy(PLANES[:200]).float()[:, None], torch.from_numpy(LABELS[:200] + 3))
    loaders = [DataLoader(data, batch_size=7), DataLoader(data), DataLoader(data)]
    task = tasks.load(loaders)
    assert isinstance(task.train.x, torch.Tensor) and task.classes == tuple(str(i + 3) for i in range(10))
    assert sorted(task.train.y.unique().tolist()) == list(range(10))


def test_iterable_data_are_used_as_they_come():
    task = tasks.load((Stream(), Stream()))
    assert "valid" in task.preprocessing["test"] and len(task.train) == 100
    assert sum(len(y) for _, y in task.train.batches(10)) == 100


def test_float_targets_of_datasets_are_a_regression():
    x = torch.randn(80, 4)
    task = tasks.load((TensorDataset(x, 3 * x[:, 0] + 5), TensorDataset(x, 3 * x[:, 0] + 5)))
    assert task.kind == "regression" and task.outputs == 1
    assert task.target_mean[0] == pytest.approx(float((3 * x[:, 0] + 5).mean()), rel=1e-5)


def test_what_is_no_dataset_is_refused():
    with pytest.raises(ConfigurationError, match="the valid part must be a torch Dataset"):
        tasks.load((Digits(0, 10), 3))
    with pytest.raises(ConfigurationError, match="two or three"):
        tasks.load(3.5)

    class Failing(Digits):
        def __getitem__(self, i):
            if i > 5:
                raise ValueError("cannot decode")
            return super().__getitem__(i)

    with pytest.raises(EvaluationError, match="cannot decode"):
        tasks.load((Failing(0, 20), Digits(0, 20)))


def test_hugging_face_folders_load_offline(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[f"n{i}" for i in range(10)])}
    )
    rows = {"image": [Image.fromarray(p) for p in PLANES[:150]], "label": LABELS[:150].tolist()}
    whole = datasets.Dataset.from_dict(rows, features=features)
    whole.save_to_disk(str(tmp_path / "one"))
    task = tasks.load(tmp_path / "one")
    assert task.input_shape == (1, 8, 8) and task.preprocessing["class_names"][3] == "n3"
    parts = datasets.DatasetDict(
        {"train": whole, "validation": whole.select(range(50)), "test": whole.select(range(60))}
    )
    parts.save_to_disk(str(tmp_path / "three"))
    task = tasks.load(f"hf:{tmp_path / 'three'}")
    assert [len(task.train), len(task.valid), len(task.test)] == [150, 50, 60]


def test_hugging_face_tables_use_all_columns(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"a": list(range(60)), "b": ["x", "y", "z"] * 20, "label": [0, 1] * 30}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "t"))
    task = tasks.load(tmp_path / "t")
    assert task.input_shape == (1 + 4,) and task.outputs == 2
