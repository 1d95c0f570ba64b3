"""Errors of the hardware models on reference cases: any folder of JSON files in the reference format.

    python benchmarks/hardware_cases.py --cases ../shared/data/hw [--out results.json] [--brief]

Prints one JSON: per model the number of cases, exact counts, median and largest relative error, rank correlation, and
the error of every case. Files are recognised by the fields of their cases, so folders with other cases of the same
form work; what cannot be read or compared is listed under `skipped` with its reason. Nothing is fitted to the cases,
but for the FPGA efficiency, which is calibrated on ResNet-50 per board as its platform says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

sys.path.insert(0, str(Path(__file__).parent))
from networks import conv_of, residual_elements, resnet, systolic_cnn

from archwright.costs import dataflow, decoder, fpga, llm, row_stationary, systolic, systolic_replay
from archwright.costs.fpga_cost import build_of
from archwright.costs.llm_operators import Split
from archwright.errors import ArchwrightError, ConfigurationError
from archwright.platforms import load

MAESTRO_LAYERS = json.loads((Path(__file__).parent / "maestro_layers.json").read_text())
GENZ_MODELS = json.loads((Path(__file__).parent / "genz_models.json").read_text())  # shapes as GenZ 0.0.16 has them
Case = dict[str, Any]


def number(case: Case, key: str, default: float | None = None, *, least: float = 1e-9) -> float:
    """A finite number of at least `least` from a case; the default where the entry is missing or null.

    Raises:
        ConfigurationError: if there is none.
    """
    value = case.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        wanted = "a positive number" if least > 0 else "a number"
        raise ConfigurationError(f"expected {wanted} for {key!r}, got {value!r}")
    return float(value)


def text(case: Case, key: str, options: Iterable[str] = ()) -> str:
    """A string from a case, one of `options` if there are any.

    Raises:
        ConfigurationError: if there is none.
    """
    value = case.get(key)
    if not isinstance(value, str) or (options and value not in options):
        wanted = " or ".join(map(repr, options)) or "a name"
        raise ConfigurationError(f"expected {wanted} for {key!r}, got {value!r}")
    return value


class Report:
    """Pairs of ours and theirs, by model, and what could not be compared, by reason."""

    def __init__(self) -> None:
        self.lines: dict[str, list[Case]] = defaultdict(list)
        self.skipped: dict[tuple[str, str], list[str]] = defaultdict(list)

    def skip(self, model: str, case: str, reason: object) -> None:
        """A case that is not compared."""
        self.skipped[model, str(reason)].append(case)

    def add(self, model: str, name: str, ours: Any, case: Case, key: str, **more: Any) -> None:
        """Compare ours with the entry `key` of a case; without a number on both sides the reason is listed."""
        try:
            theirs = number(case, key, least=-math.inf)
        except ConfigurationError as error:
            return self.skip(model, name, error)
        ours = float(ours)
        if not math.isfinite(ours):
            return self.skip(model, name, "the model gives no number for this case")
        miss = abs(ours - theirs) / abs(theirs) if theirs else float(ours != 0)
        self.lines[model].append({"case": name, "ours": ours, "theirs": theirs, "relative_error": miss, **more})

    def each(self, model: str, cases: list[Case], label: Callable[[Case], str]) -> Iterator[tuple[str, Case]]:
        """Name and case of what is a mapping; the others are listed."""
        for i, case in enumerate(cases):
            if isinstance(case, dict):
                yield label(case), case
            else:
                self.skip(model, f"number {i}", f"expected an object, got {type(case).__name__}")

    def summary(self, brief: bool) -> Case:
        """Everything as one JSON value."""
        models: Case = {}
        for model, lines in self.lines.items():
            errors = np.array([x["relative_error"] for x in lines])
            ours, theirs = (np.array([x[k] for x in lines]) for k in ("ours", "theirs"))
            several = len(lines) > 2 and len(set(theirs.tolist())) > 1 and len(set(ours.tolist())) > 1
            models[model] = {
                "n": len(lines),
                "exact": int((ours == theirs).sum()),
                "within_1e-9": int((errors <= 1e-9).sum()),
                "median_relative_error": float(np.median(errors)),
                "max_relative_error": float(errors.max()),
                "kendall": float(kendalltau(ours, theirs)[0]) if several else None,
            } | ({} if brief else {"cases": lines})
        skipped = [{"model": m, "reason": why, "cases": names} for (m, why), names in self.skipped.items()]
        return {"models": models, "skipped": skipped}


SIZES = ("ifh", "ifw", "fh", "fw", "c", "k", "stride", "rows", "cols", "if_kb", "fl_kb", "of_kb")


def _scalesim_sizes(case: Case) -> list[float]:
    text({"dataflow": str(case.get("dataflow")).lower()}, "dataflow", systolic.DATAFLOWS)
    sizes = [number(case, key) for key in SIZES]
    if sizes[0] < sizes[2] or sizes[1] < sizes[3]:
        raise ConfigurationError("the window is larger than the padded input")
    return sizes


def scalesim(cases: list[Case], report: Report) -> None:
    """SCALE-Sim: cycles, SRAM and DRAM counts of CALC cases; cycles under a fixed bandwidth of USER cases."""
    chosen: dict[str, list[tuple[str, Case, list[float]]]] = {"CALC": [], "USER": []}
    label = "{0[layer]}.{0[rows]}x{0[cols]}.{0[dataflow]}".format
    for name, case in report.each("systolic", cases, lambda c: label(defaultdict(lambda: None, c))):
        try:
            mode = text({"mode": case.get("mode", "CALC")}, "mode", chosen)
            if mode == "USER":
                number(case, "bw")
            chosen[mode].append((name, case, _scalesim_sizes(case)))
        except ConfigurationError as error:
            report.skip("systolic", name, error)
    for mode, kept in chosen.items():
        if kept:
            _systolic(kept, report, mode)


def _systolic(kept: list[tuple[str, Case, list[float]]], report: Report, mode: str) -> None:
    ifh, ifw, fh, fw, channels, filters, stride, rows, cols, *kb = np.array([sizes for _, _, sizes in kept]).T
    out_h, out_w = (np.ceil((i - f + stride) / stride) for i, f in ((ifh, fh), (ifw, fw)))
    geometry = systolic.Window(out_h, out_w, fh, fw, channels, stride)
    codes = np.array([systolic.DATAFLOWS.index(c["dataflow"].lower()) for _, c, _ in kept])
    buffers = (1024 * kb[0], 1024 * kb[1], 1024 * kb[2])
    counts, traffic = systolic.run(geometry, filters, rows, cols, codes, buffers, compat="scalesim")
    if mode == "USER":
        bandwidth = np.array([number(c, "bw") for _, c, _ in kept])
        pairs = {"user_cycles": (systolic.bounded_cycles(counts.cycles, traffic, bandwidth, buffers), "total_cycles")}
    else:
        replayed = systolic_replay.replayed_traffic(
            geometry, filters, rows, cols, codes, buffers, input_size=(ifh, ifw)
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
        for (name, case, _), ours in zip(kept, values, strict=True):
            report.add(f"systolic.{model}", name, ours, case, key)


def _genz_model(name: str) -> decoder.Decoder:
    key = name.lower()
    return decoder.Decoder(*GENZ_MODELS[key]) if key in GENZ_MODELS else decoder.decoder(name)


def genz(cases: list[Case], report: Report) -> None:
    """GenZ: latency of prefill and decode."""
    label = ("model", "system", "phase", "batch", "input_tokens", "bits", "tp", "pp", "ep")
    for name, case in report.each("llm.genz", cases, lambda c: ".".join(str(c[k]) for k in label if k in c)):
        try:
            model = _genz_model(text(case, "model"))
            ours = _genz_latency_ms(model, case)
        except ArchwrightError as error:
            report.skip("llm.genz", name, error)
            continue
        family = "dense" if np.all(model.experts == 1) else "experts"
        report.add(f"llm.genz.{family}", name, ours, case, "latency_ms")


def _genz_latency_ms(model: decoder.Decoder, case: Case) -> float:
    if case.get("output_tokens") or case.get("Bb", 1) != 1:
        raise ConfigurationError("answers in the cache and beams are not compared")
    system = case.get("system_params")
    if not isinstance(system, dict):
        raise ConfigurationError(f"expected an object for 'system_params', got {system!r}")
    bits, phase = text(case, "bits", llm.GENZ_BYTES), text(case, "phase", ("prefill", "decode"))
    splits = [number(case, k, 1.0) for k in ("tp", "pp", "ep")]
    link = number(system, "ICN", None if max(splits) > 1 else 1.0)
    device = llm.genz_device(
        number(system, "Flops"), number(system, "Memory_size", 1.0), number(system, "Memory_BW"), link, bits,
        link_us=number(system, "ICN_LL", 1.0, least=0.0),
    )  # fmt: skip
    efficiency = number(case, "eff", 1.0)
    device = device._replace(compute_efficiency=efficiency, memory_efficiency=efficiency)
    batch, tokens = number(case, "batch", 1.0), number(case, "input_tokens")
    split, decode = Split(*splits), phase == "decode"
    return 1e3 * float(llm.genz_latency_s(model, device, batch, tokens, bits, decode=decode, split=split))


def _maestro_layer(case: Case) -> tuple[dataflow.Conv, str]:
    mapping = text(case, "mapping").split(".")[0]
    known = MAESTRO_LAYERS.get(mapping, {}).get(text(case, "Layer Number"))
    if not known:
        raise ConfigurationError(f"no shape is known for the layer {case['Layer Number']!r} of {mapping!r}")
    macs = number(case, "Num MACs")
    found: list[tuple[float, dataflow.Conv]] = []
    for k, c, r, y, stride, depthwise, batch in known:
        for out in {(y - r) // stride + 1, math.ceil((y - r + stride) / stride)}:
            filters, channels, groups = (1, 1, c) if depthwise else (k, c, 1)
            layer = dataflow.Conv(*map(float, (filters, channels, r, r, out, out, stride, groups, batch)))
            miss = abs(float(layer.macs) - macs)
            if mapping.endswith("yxp_os") and stride > 1:  # MAESTRO counts partial windows there, always rounding up
                miss = abs(out - math.ceil((y - r + stride) / stride))
            found.append((miss, layer))
    return min(found, key=lambda pair: pair[0])[1], {"kcp_ws": "nvdla", "yxp_os": "shidiannao"}.get(
        mapping.split("_", 1)[1], "eyeriss"
    )


def maestro(cases: list[Case], report: Report) -> None:
    """MAESTRO: runtime and recomputed energy of each layer and mapping."""
    for name, case in report.each("dataflow", cases, lambda c: f"{c.get('mapping')}.{c.get('Layer Number')}"):
        try:
            layer, template = _maestro_layer(case)
            pes = number(case, "NumPEs")
        except ConfigurationError as error:
            report.skip("dataflow", name, error)
            continue
        noc = 14.0 if template == "eyeriss" else 1000.0
        run = dataflow.run(layer, template, dataflow.Engine(pes, noc, 50.0, 1e6), compat="maestro")
        energy = layer.macs + 1.68 * run.l1_accesses + 18.61 * run.l2_accesses
        same = float(layer.macs) == case["Num MACs"]
        for group in ("all", case["mapping"]):
            report.add(f"dataflow.latency.{group}", name, run.cycles, case, "Runtime (Cycles)", same_macs=same)
            report.add(f"dataflow.energy.{group}", name, energy, case, "energy_recomputed_mac_units", same_macs=same)


def _zigzag_sizes(case: Case) -> dict[str, float]:
    sizes: dict[str, float] = defaultdict(lambda: 1.0)
    for part in ("spatial_mapping", "temporal_mapping"):
        mapping = case.get(part)
        if not isinstance(mapping, dict) or "O" not in mapping:
            raise ConfigurationError(f"expected the loops of the output for {part!r}, got {mapping!r}")
        for level in mapping["O"]:
            for entry in level:
                name, size = entry.strip("()").split(",")
                sizes[name.strip()] *= int(size)
    return sizes


def zigzag(cases: list[Case], report: Report) -> None:
    """ZigZag on the TPU-like array: total latency, for its ranks."""
    engine = dataflow.Engine(1024.0, 256.0, 8.0, 2.0 * 2**20, 32.0, 0.0)
    for name, case in report.each("mapping.zigzag_latency", cases, lambda c: str(c.get("layer"))):
        try:
            kind, s = text(case, "layer_type"), _zigzag_sizes(case)
            latency = case.get("latency")
            if not isinstance(latency, dict):
                raise ConfigurationError(f"expected an object for 'latency', got {latency!r}")
            total = sum(number(latency, k, least=0.0) for k in latency)
            if not str(case.get("run", "tpu_like")).startswith("tpu_like"):
                raise ConfigurationError(f"only the TPU-like array is compared, got {case['run']!r}")
        except ConfigurationError as error:
            report.skip("mapping.zigzag_latency", name, error)
            continue
        report.add("mapping.zigzag_latency", name, _zigzag_cycles(kind, s, engine), {"cycles": total}, "cycles")


def _zigzag_cycles(kind: str, s: dict[str, float], engine: dataflow.Engine) -> float:
    maps = s["G"] * s["OY"] * s["OX"]
    if kind.startswith("Conv") or kind == "Gemm":
        stride = 2.0 if "downsample" in kind else 1.0
        layer = dataflow.Conv(s["K"], s["C"], s["FY"], s["FX"], s["OY"], s["OX"], stride)
        return float(dataflow.run(layer, "nvdla", engine).cycles)
    if kind == "Pooling":
        tall, wide = (max(2 * s[o] if s[o] > 1 else 1, s[f]) for o, f in (("OY", "FY"), ("OX", "FX")))
        return float((s["G"] * tall * wide + maps) / engine.memory_per_cycle)
    return float(3 * maps / engine.memory_per_cycle)


def _table(table: Case, model: str, report: Report, *needed: str) -> Iterator[Case]:
    """Rows of a published table as mappings; a table without rows, columns or a needed number is listed."""
    columns, rows = table.get("columns"), table.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return report.skip(model, "table", "expected the lists 'columns' and 'rows'")
    for row in rows:
        line = dict(zip(columns, row, strict=False))
        try:
            for key in needed:
                number(line, key)
        except ConfigurationError as error:
            report.skip(model, str(row[0] if row else row), error)
            continue
        yield line


ALEXNET = {  # filters, channels, kernel, output, stride, groups
    "CONV1": (96, 3, 11, 55, 4, 1), "CONV2": (128, 48, 5, 27, 1, 2), "CONV3": (384, 256, 3, 13, 1, 1),
    "CONV4": (192, 192, 3, 13, 1, 2), "CONV5": (128, 192, 3, 13, 1, 2),
}  # fmt: skip


def eyeriss(table: Case, report: Report) -> None:
    """Processing latency of the Eyeriss chip."""
    model = "row_stationary.eyeriss_ms"
    for line in _table(table, model, report):
        if line.get("layer") not in ALEXNET:
            report.skip(model, str(line.get("layer")), "not a convolution of AlexNet")
            continue
        k, c, r, out, stride, groups = map(float, ALEXNET[line["layer"]])
        layer = dataflow.Conv(k, c, r, r, out, out, stride, groups, 4.0)
        ours = row_stationary.row_stationary_cycles(layer, row_stationary.Chip()) / 200e3
        report.add(model, line["layer"], ours, line, "processing_latency_ms")


def nvdla(table: Case, report: Report) -> None:
    """Frames per second of ResNet-50 on the configurations of the NVDLA primer."""
    layers = conv_of(resnet((3, 4, 6, 3)))
    again = residual_elements((3, 4, 6, 3))
    lanes = {2048: 64, 1024: 32, 512: 32, 256: 32, 128: 16, 64: 8, 32: 8}
    model = "weight_stationary.nvdla_fps"
    for line in _table(table, model, report, "macs", "conv_buffer_KB", "sdram_GBps"):
        macs = int(line["macs"])
        buffer = 1024.0 * line["conv_buffer_KB"]
        engine = dataflow.Engine(macs, 1e9, line["sdram_GBps"], buffer, float(lanes.get(macs, 8)))
        cycles = float(dataflow.run(layers, "nvdla", engine).cycles.sum()) + again / engine.memory_per_cycle
        report.add(model, str(macs), 1e9 / cycles, line, "resnet50_fps")


def fpga_networks(table: Case, report: Report) -> None:
    """Published latencies of Systolic-CNN; ResNet-50 calibrates the efficiency of each board."""
    networks = systolic_cnn()
    for name, published in dict(table.get("latency_ms") or {}).items():
        if published is None:
            continue
        if name not in networks:
            report.skip("fpga", name, "the network's layers are not published")
            continue
        layers, weight_b = networks[name]
        for board, theirs in zip(("arria10", "stratix10"), published, strict=False):
            build = build_of(load(board))._replace(weight_b=weight_b)
            ours = 1e3 * float(np.sum(fpga.latency(layers, build).total_s))
            model = "fpga.calibrated_on" if name == "ResNet-50" else "fpga.held_out"
            report.add(model, f"{name} on {board}", ours, {"latency_ms": theirs}, "latency_ms")


TABLES: dict[str, Callable[[Case, Report], None]] = {
    "eyeriss_alexnet_jssc2017_tableV": eyeriss, "nvdla_primer": nvdla, "systolic_cnn": fpga_networks,
}  # fmt: skip


def recognise(cases: list[Any]) -> Callable[[list[Case], Report], None] | None:
    """The reader of a file, by the fields of its cases."""
    readers: Iterable[tuple[tuple[str, ...], Callable[[list[Case], Report], None]]] = (
        (("Layer Number", "Runtime (Cycles)"), maestro), (("temporal_mapping", "spatial_mapping"), zigzag),
        (("phase", "system_params"), genz), (("dataflow", "ifh"), scalesim),
    )  # fmt: skip
    known = {key for case in cases if isinstance(case, dict) for key in case}
    return next((reader for keys, reader in readers if known & set(keys)), None)


def run(folder: Path) -> Report:
    """Compare every JSON file of a folder."""
    report = Report()
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_text())
        except (ValueError, OSError) as error:
            report.skip("file", path.name, f"not readable as JSON: {error}")
            continue
        cases = data.get("cases") if isinstance(data, dict) else data
        tables = [n for n in TABLES if isinstance(data, dict) and isinstance(data.get(n), dict)]
        if isinstance(cases, list) and cases:
            reader = recognise(cases)
            if reader is None:
                report.skip("file", path.name, "cases of an unknown form")
            else:
                reader(cases, report)
        elif not tables:
            report.skip("file", path.name, "neither cases nor a published table that is compared")
        for name in tables:
            TABLES[name](data[name], report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--brief", action="store_true", help="no single cases")
    arguments = parser.parse_args()
    if not arguments.cases.is_dir():
        parser.error(f"--cases is a folder, got {arguments.cases}")
    found = json.dumps(run(arguments.cases).summary(arguments.brief), indent=1)
    print(found)
    if arguments.out:
        arguments.out.write_text(found + "\n")


if __name__ == "__main__":
    main()
