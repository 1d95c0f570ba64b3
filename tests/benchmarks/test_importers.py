"""The official files are gigabytes; these tests write small ones of the same format."""

import bz2
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from archwright.benchmarks.columns import ColumnFolder
from archwright.benchmarks.fbnet_lookup import DATASETS, FBNetLookup, layer_keys, rest_keys
from archwright.benchmarks.importers import import_file, imported_nasbench201
from archwright.benchmarks.safe_pickle import load_pickle
from archwright.errors import ConfigurationError, EvaluationError
from archwright.spaces.fbnet import fbnet
from archwright.spaces.nasbench201 import nasbench201, to_string

CODES = np.array([[3, 3, 3, 1, 3, 3], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 0, 1]], np.int16)


def result(dataset, seed, accuracy, epochs):
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": {e: 50.0 + e for e in range(epochs)},
        "train_acc5es": {},
        "train_losses": {e: 1.0 for e in range(epochs)},
        "train_times": {e: 7.5 for e in range(epochs)},
        "arch_config": {"channel": 16, "num_cells": 5, "class_num": 10},
        "eval_names": ["ori-test"],
        "eval_acc1es": {f"ori-test@{epochs - 1}": np.float64(accuracy), f"ori-test@{epochs - 2}": 1.0},
        "eval_times": {f"ori-test@{epochs - 1}": 1.5},
        "eval_losses": {f"ori-test@{epochs - 1}": 0.5},
        "epochs": epochs,
        "params": 0.5,
        "flop": 78.5,
        "latency": [0.02, 0.04],
        "seed": seed,
    }


def infos(index, names):
    found = {}
    for name, epochs in names.items():
        runs = OrderedDict()
        for seed, shift in ((777, 0.0), (888, 2.0)):
            for dataset in ("cifar10", "cifar100"):
                runs[(dataset, seed)] = result(dataset, seed, 90.0 + index + shift, epochs)
        found[name] = {
            "arch_index": index,
            "arch_str": to_string(CODES[index]),
            "all_results": runs,
            "dataset_seed": {"cifar10": [777, 888]},
            "clear_net_done": True,
        }
    return found


def archive(names):
    return {
        "meta_archs": [to_string(c) for c in CODES],
        "arch2infos": {i: infos(i, names) for i in range(len(CODES))},
        "evaluated_indexes": [0, 1, 2],
    }


def folder_of(path):
    path.mkdir()
    with bz2.open(path / "meta.pickle.pbz2", "wb") as file:
        pickle.dump({"meta_archs": [to_string(c) for c in CODES], "total_archs": 3}, file)
    for i in range(len(CODES)):
        with bz2.open(path / f"{i:06d}.pickle.pbz2", "wb") as file:
            pickle.dump(infos(i, {"12": 12, "200": 200}), file)
    return path


def source_of(kind, tmp_path):
    if kind == "folder":
        return folder_of(tmp_path / "NATS-tss-v1_0-simple")
    path = tmp_path / f"NAS-Bench-201-v1_1.{kind}"
    if kind == "pth":
        torch.save(archive({"less": 12, "full": 200}), path)
    else:
        path.write_bytes(pickle.dumps(archive({"12": 12, "200": 200})))
    return path


@pytest.mark.parametrize("kind", ["pth", "folder", "pickle"])
def test_official_accuracy_files_become_columns(kind, tmp_path):
    out = import_file(source_of(kind, tmp_path), tmp_path / "columns")
    columns = ColumnFolder(out)
    assert (columns["ops"] == CODES).all()
    assert columns["cifar10_ori_test_e200_trial"].tolist() == [90.0, 91.0, 92.0]
    assert columns["cifar100_ori_test_e12_mean"].tolist() == [91.0, 92.0, 93.0]
    assert columns["cifar10_train_e200_s"].tolist() == [1500.0] * 3
    assert columns["cifar10_train_e12_mean"][0] == 61.0
    assert columns["cifar10_latency_s"][0] == pytest.approx(0.03)


def test_imported_columns_are_a_benchmark(tmp_path):
    out = import_file(source_of("folder", tmp_path), tmp_path / "columns")
    table = imported_nasbench201(out, "cifar100")
    rows = table.rows(CODES)
    assert rows.tolist() == [0, 1, 2]
    assert table.read("accuracy_percent", rows).tolist() == [90.0, 91.0, 92.0]
    assert table.best() == 93.0 and table.duration_s(rows).tolist() == [1500.0] * 3
    with pytest.raises(ConfigurationError, match="ImageNet16-120"):
        imported_nasbench201(out, "ImageNet16-120")


def test_hw_nas_bench_becomes_columns(tmp_path):
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    table = {
        "config": [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": to_string(c)} for c in CODES],
        "edgegpu_latency": [1.0, 2.0, 3.0],
        "edgegpu_energy": [0.1, 0.2, 0.3],
        "eyeriss_arithmetic_intensity": [5.0, 6.0, 7.0],
        "fpga_latency": [4.0, 5.0, 6.0],
        "average_hw_metric": [1.0, 1.0, 1.0],
    }
    path.write_bytes(pickle.dumps({"nasbench201": {"cifar10": table, "cifar100": table}, "fbnet": {}}))
    columns = ColumnFolder(import_file(path, tmp_path / "columns"))
    assert columns["cifar10_edgegpu_latency_ms"].tolist() == [1.0, 2.0, 3.0]
    assert columns["cifar100_edgegpu_energy_mj"].tolist() == [0.1, 0.2, 0.3]
    assert columns["cifar10_eyeriss_intensity_score"].tolist() == [5.0, 6.0, 7.0]
    assert (columns["ops"] == CODES).all()


def fbnet_table(drop=()):
    """Every entry that the two data sets need, worth its own place in the list."""
    keys = [k for s in DATASETS.values() for k in (*(c for layer in layer_keys(s) for c in layer), *rest_keys(s))]
    return {k: float(i) for i, k in enumerate(dict.fromkeys(keys)) if k not in drop}


def test_the_names_of_fbnet_operators_are_the_published_ones():
    layers = list(layer_keys(DATASETS["ImageNet"]))
    assert len(layers) == 22 and all(len(layer) == 9 for layer in layers)
    assert layers[0][0] == "ConvBlock_H112_W112_Cin16_Cout16_exp1_kernel3_stride1_group1"
    assert layers[1][5] == "ConvBlock_H112_W112_Cin16_Cout24_exp1_kernel5_stride2_group2"
    assert layers[21][8] == "Skip_H7_W7_Cin184_Cout352_stride1"
    assert rest_keys(DATASETS["cifar100"]) == [
        "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1",
        "ConvNorm_H4_W4_Cin352_Cout1504_kernel1_stride1_group1",
        "AvgP_H4_W4_Cin1504_Cout1504_kernel4_stride1",
        "FC_Cin1504_Cout100",
    ]


@pytest.mark.parametrize("dataset", ["cifar100", "ImageNet"])
def test_fbnet_tables_of_hw_nas_bench_become_costs_of_whole_networks(dataset, tmp_path):
    table = fbnet_table()
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    path.write_bytes(pickle.dumps({"fbnet": {"edgegpu_latency": table, "fpga_energy": table, "other": {}}}))
    costs = FBNetLookup(import_file(path, tmp_path / "columns"), dataset)
    assert costs.metrics == ("edgegpu_latency_ms", "fpga_energy_mj")
    found = fbnet((3, 224, 224), 1000).sample(20, np.random.default_rng(0))
    sizes = DATASETS[dataset]
    layers = list(layer_keys(sizes))
    expected = [
        sum(table[layers[i][k]] for i, k in enumerate(code)) + sum(table[k] for k in rest_keys(sizes))
        for code in found.codes
    ]
    assert costs.evaluate(found)["edgegpu_latency_ms"].tolist() == expected
    with pytest.raises(ConfigurationError, match="cifar10'"):
        FBNetLookup(tmp_path / "columns", "cifar10")
    with pytest.raises(EvaluationError, match="22 layers"):
        costs.evaluate(nasbench201().sample(1, np.random.default_rng(0)))


def test_a_missing_entry_of_an_fbnet_table_is_named(tmp_path):
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    table = fbnet_table(drop=("FC_Cin1504_Cout100",))
    path.write_bytes(pickle.dumps({"fbnet": {"raspi4_latency": table}}))
    with pytest.raises(ConfigurationError, match=r"raspi4_latency.*FC_Cin1504_Cout100"):
        import_file(path, tmp_path / "columns")


class Evil:
    def __reduce__(self):
        return eval, ("open('owned', 'w')",)


def test_a_pickle_that_runs_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "HW-NAS-Bench.pickle"
    path.write_bytes(pickle.dumps({"nasbench201": Evil()}))
    with pytest.raises(ConfigurationError, match=r"builtins\.eval"):
        import_file(path, tmp_path / "columns")
    torch.save({"meta_archs": [], "arch2infos": Evil()}, tmp_path / "x.pth")
    with pytest.raises(ConfigurationError, match="data alone"):
        import_file(tmp_path / "x.pth", tmp_path / "columns")
    assert not (tmp_path / "owned").exists() and not (tmp_path / "columns").exists()


def test_arrays_and_numpy_scalars_are_data(tmp_path):
    value = {"a": np.arange(3.0), "b": np.float32(2.5), "c": [np.int64(4)]}
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(value))
    read = load_pickle(tmp_path / "x.pickle")
    assert read["a"].tolist() == [0.0, 1.0, 2.0] and read["b"] == 2.5 and read["c"] == [4]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pickle", b"not a pickle", "download it again"),
        ("b.pickle", pickle.dumps([1, 2]), "expected the keys"),
        ("c.pickle", pickle.dumps({"nasbench201": {"cifar10": {"config": []}}}), "edgegpu_latency"),
        ("d.pth", b"garbage", "data alone"),
    ],
)
def test_other_files_are_told_apart(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        import_file(tmp_path / name, tmp_path / "columns")


def test_a_missing_source_and_a_full_folder_are_said(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        import_file(tmp_path / "nothing.pth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"meta\.pickle\.pbz2"):
        import_file(tmp_path / "empty", tmp_path / "columns")
    out = import_file(source_of("folder", tmp_path), tmp_path / "columns")
    with pytest.raises(ConfigurationError, match="already"):
        import_file(tmp_path / "NATS-tss-v1_0-simple", out)
