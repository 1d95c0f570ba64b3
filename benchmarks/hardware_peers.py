"""SCALE-Sim, GenZ and ZigZag beside the models here, on the same cases: agreement and the ratio of throughputs.

    python benchmarks/hardware_peers.py --python PATH_TO_PEERS_PYTHON [--peers scalesim genz zigzag] [--no-write]

The peers' environment is a separate one: scalesim 3.0.0 needs numpy below 2.4, and zigzag-dse 3.9.1 needs `six`
besides what it declares. For example: python -m venv peers && peers/bin/pip install scalesim==3.0.0 "numpy<2.4"
genz_llm==0.0.16 zigzag-dse==3.9.1 six seaborn ipython paretoset. A peer that cannot be imported is reported as absent;
results of peers that are not named are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, finish
from peers import SCALESIM, peer
from scipy.stats import kendalltau

from archwright.costs import dataflow, decoder, llm, systolic
from archwright.costs.llm_operators import Split

GENZ = r"""
import json, sys, time, warnings
warnings.filterwarnings("ignore")
from GenZ import prefill_moddeling, decode_moddeling
out = []
for model, platform, phase, batch, tokens, bits, tp in json.load(sys.stdin):
    system = dict(zip(("Flops", "Memory_BW", "ICN"), platform), Memory_size=80000, real_values=True)
    more = {} if phase == "prefill" else {"output_tokens": 0, "Bb": 1}
    call = prefill_moddeling if phase == "prefill" else decode_moddeling
    start = time.perf_counter()
    try:
        r = call(
            model=model, batch_size=batch, input_tokens=tokens, system_name=system, bits=bits, tensor_parallel=tp,
            **more)
        out.append([time.perf_counter() - start, float(r["Latency"])])
    except AssertionError:  # heads that GenZ does not split so
        out.append([0.0, None])
print("RESULT" + json.dumps(out))
"""

ZIGZAG = r"""
import contextlib, io, json, os, pickle, tempfile, time
import zigzag, zigzag.api
root = os.path.dirname(zigzag.__file__) + "/inputs/"
folder = tempfile.mkdtemp()
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    zigzag.api.get_hardware_performance_zigzag(
        workload=root + "workload/resnet18.onnx", accelerator=root + "hardware/tpu_like.yaml",
        mapping=root + "mapping/tpu_like.yaml", opt="EDP", dump_folder=folder, pickle_filename=folder + "/cmes.pickle")
seconds = time.perf_counter() - start
with open(folder + "/cmes.pickle", "rb") as f:
    cmes = pickle.load(f)
out = []
for cme in cmes:
    sizes = {str(k): int(v) for k, v in cme.layer.layer_dim_sizes.data.items()}
    out.append([seconds, float(cme.latency_total2), str(cme.layer.type), sizes])
print("RESULT" + json.dumps(out))
"""

LAYERS = [
    ("conv3x3", 16, 16, 3, 3, 64, 32, 1), ("conv1x1", 28, 28, 1, 1, 128, 128, 1), ("conv5x5", 18, 18, 5, 5, 16, 48, 1),
    ("stride2", 29, 29, 3, 3, 64, 128, 2), ("gemm", 128, 256, 1, 256, 1, 256, 1),
]  # fmt: skip
ARRAYS = [(32, 32, 64, 64, 64), (64, 64, 128, 128, 64)]
MODELS = json.loads((Path(__file__).parent / "genz_models.json").read_text())  # shapes as GenZ 0.0.16 has them
PLATFORMS = {"A100": (312, 2039, 150), "H100": (989, 3400, 450), "MI300X": (1307, 5300, 400), "TPUv5e": (197, 820, 50)}
DEPLOYMENTS = ((1, 512, "bf16", 1), (8, 1000, "int8", 4))  # batch, tokens, number format, tensor parallelism


def per_case_s(call: Any, n: int) -> float:
    """Seconds per case of ours on a batch of n, best of five."""
    call()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) / n


def compare_scalesim(python: str) -> Any:
    """Cycles and seconds of a few layers on two arrays and three dataflows."""
    cases = [(layer, array, df) for layer in LAYERS for array in ARRAYS for df in systolic.DATAFLOWS]
    theirs = peer(python, SCALESIM, cases, 900)
    if isinstance(theirs, str):
        return {"absent": theirs}
    a = np.array([[*layer[1:], *array] for layer, array, _ in cases], dtype=float)
    ih, iw, fh, fw, channels, filters, stride, rows, cols, *kib = a.T
    geometry = systolic.Window(
        np.ceil((ih - fh + stride) / stride), np.ceil((iw - fw + stride) / stride), fh, fw, channels, stride
    )
    codes = np.array([systolic.DATAFLOWS.index(df) for *_, df in cases])
    buffers = tuple(1024.0 * size for size in kib)
    counts, _ = systolic.run(
        geometry, filters, rows, cols, codes, (buffers[0], buffers[1], buffers[2]), compat="scalesim"
    )
    n = 1 << 18
    at = np.random.default_rng(0).integers(0, len(cases), n)
    many = systolic.Window(*(g[at] for g in geometry))
    big = (buffers[0][at], buffers[1][at], buffers[2][at])
    ours_s = per_case_s(lambda: systolic.run(many, filters[at], rows[at], cols[at], codes[at], big), n)
    theirs_s = float(np.mean([t["wall_s"] for t in theirs]))
    return {
        "cases": len(cases),
        "equal_cycles": sum(int(c) == t["total_cycles"] for c, t in zip(counts.cycles, theirs, strict=True)),
        "peer_s_per_case": theirs_s,
        "ours_s_per_case": ours_s,
        "times_faster": theirs_s / ours_s,
    }


def compare_genz(python: str) -> Any:
    """Latency and seconds of every model that GenZ knows, each on two of four platforms, both phases."""
    cases = [
        (model, platform, phase, *DEPLOYMENTS[(i + j) % 2])
        for i, model in enumerate(MODELS)
        for j, platform in enumerate(list(PLATFORMS)[i % 2 :: 2])
        for phase in ("prefill", "decode")
    ]
    theirs = peer(python, GENZ, [(m, PLATFORMS[p], *more) for m, p, *more in cases], 900)
    if isinstance(theirs, str):
        return {"absent": theirs}
    asked = len(cases)
    cases, theirs = [c for c, t in zip(cases, theirs, strict=True) if t[1]], [t for t in theirs if t[1]]

    def latency(name: str, platform: str, phase: str, b: Any, t: Any, bits: str, tp: Any) -> Any:
        tflops, bandwidth, link = PLATFORMS[platform]
        device = llm.genz_device(tflops, 80000.0, bandwidth, link, bits)
        model = decoder.Decoder(*MODELS[name])
        return llm.genz_latency_s(model, device, b, t, bits, decode=phase == "decode", split=Split(tp))

    errors = np.array([abs(1e3 * float(latency(*c)) / t[1] - 1) for c, t in zip(cases, theirs, strict=True)])
    pairs = {c[:2] for c in cases}
    n = 1 << 13
    batch, tokens = np.arange(1.0, n + 1) % 64 + 1, np.arange(1.0, n + 1) + 16
    ours_s = per_case_s(lambda: latency(next(iter(MODELS)), "H100", "decode", batch, tokens, "bf16", 1), n)
    theirs_s = float(np.median([t[0] for t in theirs]))
    return {
        "cases": len(cases),
        "refused_by_the_peer": asked - len(cases),
        "pairs_of_model_and_platform": len(pairs),
        "pairs_within_5_percent": len(pairs - {c[:2] for c, e in zip(cases, errors, strict=True) if e > 0.05}),
        "largest_relative_error": float(errors.max()),
        "peer_s_per_case": theirs_s,
        "ours_s_per_case": ours_s,
        "times_faster": theirs_s / ours_s,
    }


def compare_zigzag(python: str) -> Any:
    """ResNet-18 on the TPU-like array; the peer's mapper searches, ours takes the weight stationary template."""
    theirs = peer(python, ZIGZAG, [], 3000)
    if isinstance(theirs, str):
        return {"absent": theirs}
    engine = dataflow.Engine(1024.0, 256.0, 8.0, 2.0 * 2**20, 32.0, 0.0)
    pairs = []
    for _, latency, kind, s in theirs:
        if "Conv" in str(kind) or "Gemm" in str(kind):
            k, c, fy, fx, oy, ox = (float(s.get(d, 1)) for d in ("K", "C", "FY", "FX", "OY", "OX"))
            pairs.append((float(dataflow.run(dataflow.Conv(k, c, fy, fx, oy, ox), "nvdla", engine).cycles), latency))
    n = 1 << 16
    rng = np.random.default_rng(0)
    layer = dataflow.Conv(*(rng.integers(1, h, n).astype(float) for h in (512, 512, 4, 4, 57, 57, 3)))
    ours_s = per_case_s(lambda: dataflow.run(layer, "nvdla", engine), n)
    theirs_s = theirs[0][0] / len(theirs)
    ratio = [a / b for a, b in pairs]
    return {
        "layers": len(theirs),
        "products_compared": len(pairs),
        "kendall": float(kendalltau(*zip(*pairs, strict=True))[0]),
        "median_ratio_of_latencies": float(np.median(ratio)),
        "peer_s_per_layer": theirs_s,
        "ours_s_per_layer": ours_s,
        "times_faster": theirs_s / ours_s,
    }


COMPARE = {"scalesim": compare_scalesim, "genz": compare_genz, "zigzag": compare_zigzag}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--peers", nargs="+", choices=sorted(COMPARE), default=sorted(COMPARE))
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    known = RESULTS / "hardware_peers.json"
    kept = json.loads(known.read_text())["peers"] if known.exists() else {}  # peers that are not run again
    found = {name: {**COMPARE[name](a.python), "measured": time.strftime("%Y-%m-%d")} for name in a.peers}
    finish("hardware_peers", {"peers": {**kept, **found}}, write=not a.no_write)


if __name__ == "__main__":
    main()
