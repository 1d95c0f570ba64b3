"""Runs of SCALE-Sim 3.0.0 as further reference cases, in the form that `hardware_cases.py` reads.

    python benchmarks/scalesim_runs.py --python PATH_TO_PEERS_PYTHON --out FOLDER [--every 1] [--limit 1.5e6]
    python benchmarks/hardware_cases.py --cases FOLDER --out benchmarks/results/scalesim_runs.json --brief

21 layers (convolutions with overlapping and strided windows, one whose windows pass the input's edge, pointwise,
depthwise, matrix products) on 8 arrays with buffers from 4 KiB to 512 KiB and all three dataflows; `--limit` leaves
out runs of more array-edge cycles than that. Most of the buffers are too small for their operands. The peers'
environment is described in `hardware_peers.py`. Takes minutes with the default limit, an hour with 2.5e7; `--every 8`
runs an eighth.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

from peers import SCALESIM, peer

# name, input height and width with padding, kernel height and width, channels, filters, stride
LAYERS = [
    ("r18.l1", 58, 58, 3, 3, 64, 64, 1), ("r18.l2s2", 57, 57, 3, 3, 64, 128, 2), ("r18.l2", 30, 30, 3, 3, 128, 128, 1),
    ("r18.l3", 16, 16, 3, 3, 256, 256, 1), ("r18.l4", 9, 9, 3, 3, 512, 512, 1), ("stem", 57, 57, 7, 7, 3, 64, 2),
    ("stem3", 65, 65, 3, 3, 3, 32, 2), ("cif", 34, 34, 3, 3, 16, 16, 1), ("cif32", 34, 34, 3, 3, 32, 64, 1),
    ("cif64", 18, 18, 3, 3, 64, 64, 1), ("k5", 31, 31, 5, 5, 16, 32, 1), ("alex", 59, 59, 11, 11, 3, 96, 4),
    ("dw112", 114, 114, 3, 3, 1, 1, 1), ("dw5", 60, 60, 5, 5, 1, 1, 1), ("pw", 28, 28, 1, 1, 192, 64, 1),
    ("gemm", 64, 512, 1, 512, 1, 256, 1), ("gemm2", 256, 256, 1, 256, 1, 128, 1), ("odd", 56, 56, 3, 3, 24, 40, 2),
    ("rect", 20, 40, 3, 5, 12, 24, 1), ("fc", 1, 2048, 1, 2048, 1, 100, 1), ("pw2", 14, 14, 1, 1, 512, 32, 2),
]  # fmt: skip
# rows, columns, KiB of the input, filter and output buffers
ARRAYS = [
    (16, 16, 32, 32, 16), (32, 32, 64, 64, 64), (32, 16, 64, 64, 32), (12, 14, 108, 108, 108),
    (64, 64, 128, 128, 64), (128, 128, 512, 512, 256), (8, 8, 4, 4, 4), (24, 40, 12, 20, 6),
]  # fmt: skip


def work(layer: tuple, array: tuple, dataflow: str) -> float:
    """Cycles times the edges of the array, which the simulator's time follows."""
    _, ih, iw, fh, fw, c, k, s = layer
    rows, cols = array[:2]
    n_out, window = -(-(ih - fh + s) // s) * -(-(iw - fw + s) // s), fh * fw * c
    high, wide, time = {"os": (n_out, k, window), "ws": (window, k, n_out), "is": (window, n_out, k)}[dataflow]
    each = time + rows + cols + (0 if dataflow == "os" else rows) - 2
    return -(-high // rows) * -(-wide // cols) * each * (20 + rows + 2 * cols)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="Python with SCALE-Sim")
    parser.add_argument("--out", type=Path, required=True, help="folder for scalesim.json")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1.5e6)
    a = parser.parse_args()
    runs = [r for r in itertools.product(LAYERS, ARRAYS, ("ws", "os", "is")) if work(*r) < a.limit]
    runs = sorted(runs, key=lambda r: work(*r))[:: a.every]
    cases = peer(a.python, SCALESIM, runs)
    if isinstance(cases, str):
        raise SystemExit(f"SCALE-Sim did not run: {cases}")
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "scalesim.json").write_text(json.dumps({"meta": {"source": "scalesim 3.0.0"}, "cases": cases}))
    print(json.dumps({"cases": len(cases)}))


if __name__ == "__main__":
    main()
