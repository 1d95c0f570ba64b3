"""Errors of the hardware models on reference cases: any folder of JSON files in the reference format.

    python benchmarks/hardware_cases.py --cases ../shared/data/hw [--out results.json] [--brief]

Prints one JSON: per model the number of cases, exact counts, median and largest relative error, rank correlation, and
the error of every case. Files are recognised by the fields of their cases, so folders with other cases of the same
form work; a case that cannot be read is listed under `skipped` with its reason. Nothing is fitted to the cases, but
for the FPGA efficiency, which is calibrated on ResNet-50 per board as its platform says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

sys.path.insert(0, str(Path(__file__).parent))
from networks import conv_of, residual_elements, resnet, systolic_cnn

from archwright.costs import dataflow, decoder, fpga, llm, row_stationary, systolic, systolic_replay
from archwright.costs.fpga_cost import build_of
from archwright.errors import ArchwrightError
from archwright.platforms import load

MAESTRO_LAYERS = json.loads((Path(__file__).parent / "maestro_layers.json").read_text())
Case = dict[str, Any]


class Report:
    """Pairs of ours and theirs, by model."""

    def __init__(self) -> None:
        self.lines: dict[str, list[Case]] = defaultdict(list)
        self.skipped: list[Case] = []

    def add(self, model: str, name: str, ours: float, theirs: float, **more: Any) -> None:
        """One compared number."""
        ours, theirs = float(ours), float(theirs)
        error = abs(ours - theirs) / abs(theirs) if theirs else float(ours != 0)
        self.lines[model].append({"case": name, "ours": ours, "theirs": theirs, "relative_error": error, **more})

    def summary(self, brief: bool) -> Case:
        """Everything as one JSON value."""
        models: Case = {}
        for model, lines in self.lines.items():
            errors = np.array([x["relative_error"] for x in lines])
            ours, theirs = (np.array([x[k] for x in lines]) for k in ("ours", "theirs"))
            tau = kendalltau(ours, theirs)[0] if len(lines) > 2 and len(set(theirs.tolist())) > 1 else math.nan
            models[model] = {
                "n": len(lines),
                "exact": int((ours == theirs).sum()),
                "within_1e-9": int((errors <= 1e-9).sum()),
                "median_relative_error": float(np.median(errors)),
                "max_relative_error": float(errors.max()),
                "kendall": None if math.isnan(tau) else float(tau),
            } | ({} if brief else {"cases": lines})
        return {"models": models, "skipped": self.skipped}


def scalesim(cases: list[Case], report: Report) -> None:
    """SCALE-Sim: cycles, SRAM and DRAM counts of CALC cases; cycles under a fixed bandwidth of USER cases."""
    for mode in ("CALC", "USER"):
        chosen = [c for c in cases if c.get("mode", "CALC") == mode]
        if not chosen:
            continue

        def column(key: str, chosen: list[Case] = chosen) -> np.ndarray:
            return np.array([c[key] for c in chosen], dtype=float)

        stride = column("stride")
        out_h, out_w = (np.ceil((column(i) - column(f) + stride) / stride) for i, f in (("ifh", "fh"), ("ifw", "fw")))
        geometry = systolic.Window(out_h, out_w, column("fh"), column("fw"), column("c"), stride)
        codes = np.array([systolic.DATAFLOWS.index(c["dataflow"]) for c in chosen])
        buffers = (1024 * column("if_kb"), 1024 * column("fl_kb"), 1024 * column("of_kb"))
        counts, traffic = systolic.run(
            geometry, column("k"), column("rows"), column("cols"), codes, buffers, compat="scalesim"
        )
        names = [f"{c['layer']}.{c['rows']}x{c['cols']}.{c['dataflow']}" for c in chosen]
        if mode == "USER":
            bounded = systolic.bounded_cycles(counts.cycles, traffic, column("bw"), buffers)
            for name, ours, theirs in zip(names, bounded, column("total_cycles"), strict=True):
                report.add("systolic.user_cycles", name, ours, theirs)
            continue
        replayed = systolic_replay.replayed_traffic(
            geometry, column("k"), column("rows"), column("cols"), codes, buffers,
            input_size=(column("ifh"), column("ifw")),
        )  # fmt: skip
        pairs = {
            "cycles": (counts.cycles, "total_cycles"),
            "sram_ifmap": (counts.ifmap_reads, "sram_ifmap_reads"),
            "sram_filter": (counts.filter_reads, "sram_filter_reads"),
            "sram_ofmap": (counts.ofmap_writes, "sram_ofmap_writes"),
            "dram_ifmap": (replayed.ifmap_reads, "dram_ifmap_reads"),
            "dram_filter": (replayed.filter_reads, "dram_filter_reads"),
            "dram_ofmap": (replayed.ofmap_writes, "dram_ofmap_writes"),
            "dram_ifmap_closed_form": (traffic.ifmap_reads, "dram_ifmap_reads"),
            "dram_filter_closed_form": (traffic.filter_reads, "dram_filter_reads"),
            "utilisation": (100 * counts.utilisation_share, "overall_util_pct"),
        }
        for model, (values, key) in pairs.items():
            if not all(key in c for c in chosen):
                report.skipped.append({"model": f"systolic.{model}", "reason": f"not every case gives {key!r}"})
                continue
            for name, ours, theirs in zip(names, values, column(key), strict=True):
                report.add(f"systolic.{model}", name, ours, theirs)


def genz(cases: list[Case], report: Report) -> None:
    """GenZ: latency of prefill and decode."""
    for c in cases:
        name = ".".join(str(c.get(k)) for k in ("model", "system", "phase", "batch", "input_tokens", "bits", "tp"))
        try:
            model = decoder.decoder(c["model"])
        except ArchwrightError as error:
            report.skipped.append({"model": "llm.genz", "case": name, "reason": str(error)})
            continue
        p, efficiency = c["system_params"], float(c.get("eff", 1.0))
        device = llm.genz_device(
            p["Flops"], p["Memory_size"], p["Memory_BW"], p["ICN"], c["bits"], link_us=p.get("ICN_LL", 1.0)
        )._replace(compute_efficiency=efficiency, memory_efficiency=efficiency)
        split = llm.Split(c.get("tp", 1), c.get("pp", 1), c.get("ep", 1))
        ours = llm.genz_latency_s(
            model, device, c["batch"], c["input_tokens"], c["bits"], decode=c["phase"] == "decode", split=split
        )
        family = "dense" if np.all(model.experts == 1) else "experts"
        report.add(f"llm.genz.{family}", name, 1e3 * ours, c["latency_ms"])


def _maestro_layer(case: Case) -> tuple[dataflow.Conv, str] | str:
    mapping = case["mapping"].split(".")[0]
    known = MAESTRO_LAYERS.get(mapping, {}).get(case["Layer Number"], [])
    best: tuple[float, dataflow.Conv] | None = None
    for k, c, r, y, stride, depthwise, batch in known:
        for out in {(y - r) // stride + 1, math.ceil((y - r + stride) / stride)}:
            filters, channels, groups = (1, 1, c) if depthwise else (k, c, 1)
            layer = dataflow.Conv(*map(float, (filters, channels, r, r, out, out, stride, groups, batch)))
            miss = abs(float(layer.macs) - case["Num MACs"])
            if mapping.endswith("yxp_os") and stride > 1:  # MAESTRO counts partial windows there, always rounding up
                miss = abs(out - math.ceil((y - r + stride) / stride))
            if best is None or miss < best[0]:
                best = miss, layer
    if best is None:
        return f"no shape is known for the layer {case['Layer Number']!r} of {mapping!r}"
    template = {"kcp_ws": "nvdla", "yxp_os": "shidiannao"}.get(mapping.split("_", 1)[1], "eyeriss")
    return best[1], template


def maestro(cases: list[Case], report: Report) -> None:
    """MAESTRO: runtime and recomputed energy of each layer and mapping."""
    for c in cases:
        name = f"{c['mapping']}.{c['Layer Number']}"
        found = _maestro_layer(c)
        if isinstance(found, str):
            report.skipped.append({"model": "dataflow", "case": name, "reason": found})
            continue
        layer, template = found
        pes = float(c["NumPEs"])
        noc = 14.0 if template == "eyeriss" else 1000.0
        run = dataflow.run(layer, template, dataflow.Engine(pes, noc, 50.0, 1e6), compat="maestro")
        energy = layer.macs + 1.68 * run.l1_accesses + 18.61 * run.l2_accesses
        same = float(layer.macs) == c["Num MACs"]
        for group in ("all", c["mapping"]):
            report.add(f"dataflow.latency.{group}", name, run.cycles, c["Runtime (Cycles)"], same_macs=same)
            report.add(f"dataflow.energy.{group}", name, energy, c["energy_recomputed_mac_units"], same_macs=same)


def _zigzag_layer(case: Case) -> tuple[str, dict[str, int]]:
    sizes: dict[str, int] = defaultdict(lambda: 1)
    for part in ("spatial_mapping", "temporal_mapping"):
        for level in case[part]["O"]:
            for entry in level:
                name, size = entry.strip("()").split(",")
                sizes[name.strip()] *= int(size)
    return case["layer_type"], sizes


def zigzag(cases: list[Case], report: Report) -> None:
    """ZigZag on the TPU-like array: total latency, for its ranks."""
    engine = dataflow.Engine(1024.0, 256.0, 8.0, 2.0 * 2**20, 32.0, 0.0)
    for c in cases:
        kind, s = _zigzag_layer(c)
        maps = float(s["G"] * s["OY"] * s["OX"])
        if kind.startswith("Conv") or kind == "Gemm":
            stride = 2.0 if "downsample" in kind else 1.0
            layer = dataflow.Conv(*map(float, (s["K"], s["C"], s["FY"], s["FX"], s["OY"], s["OX"])), stride)
            ours = float(dataflow.run(layer, "nvdla", engine).cycles)
        elif kind == "Pooling":
            tall, wide = (max(2 * s[o] if s[o] > 1 else 1, s[f]) for o, f in (("OY", "FY"), ("OX", "FX")))
            inputs = s["G"] * tall * wide
            ours = (inputs + maps) / engine.memory_per_cycle
        else:
            ours = 3 * maps / engine.memory_per_cycle
        report.add("mapping.zigzag_latency", c["layer"], ours, sum(c["latency"].values()))


ALEXNET = {  # filters, channels, kernel, output, stride, groups
    "CONV1": (96, 3, 11, 55, 4, 1), "CONV2": (128, 48, 5, 27, 1, 2), "CONV3": (384, 256, 3, 13, 1, 1),
    "CONV4": (192, 192, 3, 13, 1, 2), "CONV5": (128, 192, 3, 13, 1, 2),
}  # fmt: skip


def eyeriss(table: Case, report: Report) -> None:
    """Processing latency of the Eyeriss chip."""
    columns = table["columns"]
    for row in table["rows"]:
        line = dict(zip(columns, row, strict=True))
        if line["layer"] not in ALEXNET:
            continue
        k, c, r, out, stride, groups = map(float, ALEXNET[line["layer"]])
        layer = dataflow.Conv(k, c, r, r, out, out, stride, groups, 4.0)
        ours = row_stationary.row_stationary_cycles(layer, row_stationary.Chip()) / 200e3
        report.add("row_stationary.eyeriss_ms", line["layer"], ours, line["processing_latency_ms"])


def nvdla(table: Case, report: Report) -> None:
    """Frames per second of ResNet-50 on the configurations of the NVDLA primer."""
    layers = conv_of(resnet((3, 4, 6, 3)))
    again = residual_elements((3, 4, 6, 3))
    lanes = {2048: 64, 1024: 32, 512: 32, 256: 32, 128: 16, 64: 8, 32: 8}
    for row in table["rows"]:
        line = dict(zip(table["columns"], row, strict=True))
        macs = int(line["macs"])
        buffer = 1024.0 * line["conv_buffer_KB"]
        engine = dataflow.Engine(macs, 1e9, line["sdram_GBps"], buffer, float(lanes.get(macs, 8)))
        cycles = float(dataflow.run(layers, "nvdla", engine).cycles.sum()) + again / engine.memory_per_cycle
        report.add("weight_stationary.nvdla_fps", str(macs), 1e9 / cycles, line["resnet50_fps"])


def fpga_networks(table: Case, report: Report) -> None:
    """Published latencies of Systolic-CNN; ResNet-50 calibrates the efficiency of each board."""
    networks = systolic_cnn()
    for name, published in table["latency_ms"].items():
        if name not in networks:
            report.skipped.append({"model": "fpga", "case": name, "reason": "the network's layers are not published"})
            continue
        layers, weight_b = networks[name]
        for board, theirs in zip(("arria10", "stratix10"), published, strict=False):
            build = build_of(load(board))._replace(weight_b=weight_b)
            ours = 1e3 * float(np.sum(fpga.latency(layers, build).total_s))
            model = "fpga.calibrated_on" if name == "ResNet-50" else "fpga.held_out"
            report.add(model, f"{name} on {board}", ours, theirs)


TABLES: dict[str, Callable[[Case, Report], None]] = {
    "eyeriss_alexnet_jssc2017_tableV": eyeriss, "nvdla_primer": nvdla, "systolic_cnn": fpga_networks,
}  # fmt: skip


def recognise(case: Case) -> Callable[[list[Case], Report], None] | None:
    """The reader of a file, by the fields of its first case."""
    readers: Iterable[tuple[str, Callable[[list[Case], Report], None]]] = (
        ("Runtime (Cycles)", maestro), ("temporal_mapping", zigzag), ("phase", genz), ("dataflow", scalesim),
    )  # fmt: skip
    return next((reader for key, reader in readers if key in case), None)


def run(folder: Path) -> Report:
    """Compare every JSON file of a folder."""
    report = Report()
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        cases = data.get("cases") if isinstance(data, dict) else None
        if cases:
            reader = recognise(cases[0])
            if reader is None:
                report.skipped.append({"file": path.name, "reason": "cases of an unknown form"})
            else:
                reader(cases, report)
        elif isinstance(data, dict):
            for name, table in data.items():
                if name in TABLES:
                    TABLES[name](table, report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--brief", action="store_true", help="no single cases")
    arguments = parser.parse_args()
    if not arguments.cases.is_dir():
        parser.error(f"--cases is a folder, got {arguments.cases}")
    text = json.dumps(run(arguments.cases).summary(arguments.brief), indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
