import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.data import data_root
from archwright.errors import ConfigurationError
from archwright.tasks.tables import read_table

CSV = "age,city,label\n" + "".join(
    f"{20 + i},{['Bern', 'Oslo', ''][i % 3]},{'yes' if i % 2 else 'no'}\n" for i in range(60)
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(CSV)
    return path


def test_csv_columns_become_numbers_and_one_hot(table):
    task = tasks.load(table)
    assert task.kind == "classification" and task.classes == ("no", "yes")
    columns = task.preprocessing["columns"]
    assert columns[0]["name"] == "age" and columns[1]["categories"] == ["", "Bern", "Oslo"]
    assert task.input_shape == (1 + 4,)


def test_statistics_come_from_training_rows_only(tmp_path):
    rows = [f"train,{i},{i % 2}" for i in range(50)] + ["test,1000000,0", "test,1000000,1", "valid,5,0", "valid,6,1"]
    path = tmp_path / "t.csv"
    path.write_text("split,value,target\n" + "\n".join(rows) + "\n")
    task = tasks.load(path)
    assert [len(task.train), len(task.valid), len(task.test)] == [50, 2, 2]
    assert task.preprocessing["mean"][0] == pytest.approx(24.5)
    assert float(task.test.x[0, 0]) > 1000


def test_gaps_are_filled_with_the_median_and_marked(tmp_path):
    values = [str(i) if i % 5 else "" for i in range(100)]
    path = tmp_path / "g.csv"
    path.write_text("v,target\n" + "\n".join(f"{v},{i % 2}" for i, v in enumerate(values)))
    task = tasks.load(path)
    assert task.input_shape == (2,) and task.preprocessing["columns"][0]["gap_mark"]
    mark = task.train.x[:, 1] > 0
    assert len(task.train.x[mark, 0].unique()) == 1


def test_unseen_categories_become_the_other_category(tmp_path):
    lines = [f"train,{'ab'[i % 2]},{i % 2}" for i in range(40)] + ["test,zebra,0", "test,a,1"]
    path = tmp_path / "c.csv"
    path.write_text("split,letter,target\n" + "\n".join(lines))
    task = tasks.load(path)
    other = task.test.x[:, 2]
    assert float(other[0]) > float(other[1])


def test_the_target_is_named_or_guessed(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("y,x\n" + "\n".join(f"{i * 0.5},{i}" for i in range(60)))
    assert tasks.load(path, target="y").kind == "regression"
    assert tasks.load(path).preprocessing["target"] == "x"
    with pytest.raises(ConfigurationError, match="no column 'yy'; did you mean 'y'"):
        tasks.load(path, target="yy")


def test_parquet_reads_like_csv(tmp_path, table):
    pandas = pytest.importorskip("pandas")
    pandas.read_csv(table).to_parquet(tmp_path / "people.parquet")
    a, b = tasks.load(table), tasks.load(tmp_path / "people.parquet")
    assert torch.equal(a.train.x, b.train.x) and torch.equal(a.test.y, b.test.y)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "row 3 has 1 fields"),
        ("a,a\n1,2\n", "twice"),
        ("a\n1\n", "two columns"),
        ("a,label\n" + "1,\n" * 9 + "1,x\n", "gaps"),
        ("a,label\n1,x\n2,y\n", "too few rows"),
    ],
)
def test_bad_tables_give_one_clear_error(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        tasks.load(path)


@pytest.mark.data
@pytest.mark.skipif(data_root() is None, reason="the external data folder is not there (ARCHWRIGHT_DATA)")
def test_adult_and_california_housing_are_read_as_published():
    adult = tasks.load("adult")
    assert len(adult.train) + len(adult.valid) == 32561 and len(adult.test) == 16281
    positives = int(adult.train.y.sum() + adult.valid.y.sum()), int(adult.test.y.sum())
    assert positives == (7841, 3846)
    housing = tasks.load("california_housing")
    prices = torch.cat([s.y for s in (housing.train, housing.valid, housing.test)])
    assert len(prices) == 20640 and float(prices.double().mean()) == pytest.approx(206855.8, abs=0.1)
    bedrooms = next(c for c in housing.preprocessing["columns"] if c["name"] == "total_bedrooms")
    assert bedrooms["gap_mark"]


def test_columns_of_numbers_and_text_are_told_apart(table):
    columns = read_table(table)
    assert columns["age"].dtype == np.float64 and columns["city"].dtype == object
