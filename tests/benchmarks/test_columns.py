import json

import numpy as np
import pytest

from archwright.benchmarks.columns import (
    ColumnFolder,
    HashIndex,
    MixedRadixIndex,
    cache_root,
    make_index,
    open_columns_at,
)
from archwright.errors import ConfigurationError


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("ARCHWRIGHT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "table.npz"
    np.savez(path, a=np.arange(5.0), name=np.array(["x", "y", "z", "u", "v"]))
    return path


def test_columns_are_memory_maps_of_what_the_archive_holds(source):
    columns = open_columns_at(source)
    assert sorted(columns) == ["a", "name"] and len(columns) == 2
    assert isinstance(columns["a"], np.memmap) and columns["a"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert columns["name"][3] == "u"
    with pytest.raises(ValueError, match="read-only"):
        columns["a"][0] = 1.0


def test_the_source_is_read_once_and_again_after_a_change(source):
    calls = []

    def reader(path):
        calls.append(path)
        return {"a": np.arange(len(calls))}

    open_columns_at(source, reader)
    open_columns_at(source, reader)
    assert len(calls) == 1
    np.savez(source, a=np.arange(50.0))
    assert len(open_columns_at(source, reader)["a"]) == 2


def test_a_pickled_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ARCHWRIGHT_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "bad.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        open_columns_at(tmp_path / "bad.npz")
    assert not list(cache_root().glob("columns/*/index.json"))


def test_an_unknown_column_is_named_with_its_nearest(source):
    with pytest.raises(ConfigurationError, match="did you mean 'name'"):
        open_columns_at(source)["nme"]


def test_a_folder_without_an_index_is_no_table(tmp_path):
    with pytest.raises(ConfigurationError, match="not a folder of columns"):
        ColumnFolder(tmp_path)


def test_writing_twice_keeps_the_first(tmp_path):
    ColumnFolder.write(tmp_path / "t", {"a": np.arange(2)})
    assert len(ColumnFolder.write(tmp_path / "t", {"a": np.arange(9)})["a"]) == 2
    assert json.loads((tmp_path / "t" / "index.json").read_text())["columns"] == {"a": "0000.npy"}
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    return np.unique(rng.integers(0, 4, (200, 5)), axis=0).astype(np.int16)


@pytest.mark.parametrize("kind", [HashIndex, lambda c: MixedRadixIndex(c, np.full(5, 4))])
def test_an_index_finds_every_listed_code_and_no_other(kind, codes):
    listed, rest = codes[::2], codes[1::2]
    index = kind(listed)
    assert index.rows(listed).tolist() == list(range(len(listed)))
    assert (index.rows(rest) == -1).all()
    assert index.rows(np.array([[-1, 0, 0, 0, 0], [9, 0, 0, 0, 0]], np.int16)).tolist() == [-1, -1]


def test_of_equal_codes_the_first_row_is_found(codes):
    twice = np.concatenate([codes, codes])
    for index in (HashIndex(twice), MixedRadixIndex(twice, np.full(5, 4))):
        assert (index.rows(codes) == np.arange(len(codes))).all()


def test_inactive_decisions_are_part_of_a_key():
    index = HashIndex(np.array([[0, -1], [0, 0]], np.int16))
    assert index.rows(np.array([[0, 0], [0, -1], [1, -1]], np.int16)).tolist() == [1, 0, -1]


def test_the_index_follows_the_share_that_is_listed(codes):
    assert isinstance(make_index(codes, np.full(5, 4)), MixedRadixIndex)
    assert isinstance(make_index(codes[:20], np.full(5, 4)), HashIndex)
    assert HashIndex(np.zeros((0, 3), np.int16)).rows(np.zeros((2, 3), np.int16)).tolist() == [-1, -1]
