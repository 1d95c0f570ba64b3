"""`benchmarks/hardware_cases.py` on folders that are not what it was written for."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import hardware_cases

SCALESIM = {
    "layer": "a", "ifh": 8, "ifw": 8, "fh": 3, "fw": 3, "c": 4, "k": 8, "stride": 1, "rows": 4, "cols": 4, "if_kb": 64,
    "fl_kb": 64, "of_kb": 64, "dataflow": "os", "mode": "CALC", "total_cycles": 797,
}  # fmt: skip
GENZ = {
    "model": "meta-llama/Llama-2-7B", "system": "x", "batch": 1, "input_tokens": 512, "bits": "bf16", "tp": 1,
    "system_params": {"Flops": 312, "Memory_size": 80, "Memory_BW": 2039, "ICN": 150}, "phase": "decode",
    "latency_ms": 6.0,
}  # fmt: skip
MAESTRO = {
    "mapping": "Resnet50_kcp_ws.256", "Layer Number": "CONV1", "NumPEs": 256, "Num MACs": 118013952,
    "Runtime (Cycles)": 1e6, "energy_recomputed_mac_units": 1e9,
}  # fmt: skip
ZIGZAG = {
    "run": "tpu_like", "layer": "L", "layer_type": "Conv", "latency": {"computation": 100.0},
    "spatial_mapping": {"O": [["(K, 32)"]]}, "temporal_mapping": {"O": [["(C, 2)", "(OY, 4)"]]},
}  # fmt: skip
FORMS = {"scalesim": SCALESIM, "genz": GENZ, "maestro": MAESTRO, "zigzag": ZIGZAG}


def run(folder, **files):
    for name, data in files.items():
        (folder / f"{name}.json").write_text(data if isinstance(data, str) else json.dumps(data))
    found = hardware_cases.run(folder).summary(False)
    assert "NaN" not in json.dumps(found)
    return found


@pytest.mark.parametrize("name", FORMS)
def test_whatever_entry_is_missing_or_null_the_other_cases_are_compared(tmp_path, name):
    whole = FORMS[name]
    wanted = run(tmp_path, cases={"cases": [whole]})["models"]
    assert wanted
    for key in whole:
        without = {k: v for k, v in whole.items() if k != key}
        for broken in (without, whole | {key: None}, whole | {key: "?"}):
            found = run(tmp_path, cases={"cases": [broken, whole]})
            for model in wanted:
                assert whole_case(found, model) == whole_case({"models": wanted}, model), (key, model)
            assert all(s["reason"] and s["cases"] for s in found["skipped"])


def whole_case(found, model):
    return {k: v for k, v in found["models"][model]["cases"][-1].items() if k != "case"}


def test_a_missing_result_is_listed_and_not_counted(tmp_path):
    found = run(tmp_path, cases={"cases": [SCALESIM]})
    assert found["models"]["systolic.cycles"]["n"] == 1
    reasons = {s["model"]: s["reason"] for s in found["skipped"]}
    assert reasons["systolic.utilisation"] == "expected a number for 'overall_util_pct', got None"


def test_unknown_models_formats_and_files_are_listed_with_a_reason(tmp_path):
    cases = [GENZ | {"model": "state-spaces/mamba"}, GENZ | {"bits": "int3"}, GENZ | {"phase": "train"}, 3]
    found = run(tmp_path, a={"cases": cases}, b="{", c={"cases": [{"x": 1}]}, d={"weights": {}})
    assert not found["models"]
    reasons = " ".join(s["reason"] for s in found["skipped"])
    for words in ("no shape is known", "for 'bits', got 'int3'", "got 'train'", "expected an object", "not readable",
                  "unknown form", "neither cases nor"):  # fmt: skip
        assert words in reasons


def test_tables_with_other_rows_and_columns_are_compared_as_far_as_they_go(tmp_path):
    columns = ["macs", "conv_buffer_KB", "sdram_GBps", "resnet50_fps"]
    tables = {
        "nvdla_primer": {"columns": columns, "rows": [[256, 256, 5, 46], [9]]},
        "eyeriss_alexnet_jssc2017_tableV": {"rows": []},
        "systolic_cnn": {"latency_ms": {"ResNet-50": [84, 33], "VGG": [1, 2], "AlexNet": None}},
    }  # fmt: skip
    found = run(tmp_path, published=tables)
    assert found["models"]["weight_stationary.nvdla_fps"]["n"] == 1
    assert found["models"]["fpga.calibrated_on"]["n"] == 2
    assert {tuple(s["cases"]) for s in found["skipped"]} == {("9",), ("table",), ("VGG",)}
