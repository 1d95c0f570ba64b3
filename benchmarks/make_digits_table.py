"""Make the benchmark `digits-conv`: train every network of its space, measure latencies, write the package's file.

python benchmarks/make_digits_table.py [--work runs/digits_table] [--minutes M]   # trains what is missing, then times
python benchmarks/make_digits_table.py --latency-only                             # times again and rewrites the file

Trainings are kept line by line in the work folder, so that the script goes on where it was stopped. Latencies want a
quiet machine; the load average is kept with them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish
from scipy.stats import spearmanr

from archwright.benchmarks import digits
from archwright.benchmarks.columns import read_npz
from archwright.costs.counts import Counts
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import Protocol
from archwright.nets import build
from archwright.space import Architectures, Space

PROTOCOL = Protocol(repeats=100, seconds=0.04, block_ms=2.0, warmup_seconds=0.1)


def every_architecture(space: Space) -> Architectures:
    """All members in order of their codes."""
    codes = space.enumerate().codes
    return space.architectures(codes[np.lexsort(codes.T[::-1])])


def settings(space: Space) -> dict[str, Any]:
    """What all trainings must share."""
    return {"space": space.digest, "recipe": digits.recipe().to_json(), "split": digits.SPLIT, "levels": digits.LEVELS}


def trainings(archs: Architectures, work: Path, deadline: float) -> dict[tuple[int, int], list[list[float]]]:
    """(row, seed) -> [valid right, test right, CPU seconds] at each level; seeds one after another over all rows."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "trainings.jsonl"
    head = json.dumps(settings(archs.space))
    if not file.exists():
        file.write_text(head + "\n", encoding="utf-8")
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines[0].strip() != head:
        raise SystemExit(f"{file} was made with other settings; name another folder with --work")
    if not lines[-1].endswith("\n"):  # stopped while writing
        file.write_text("".join(lines[:-1]), encoding="utf-8")
        lines.pop()
    done = {(r["row"], r["seed"]): r["levels"] for r in map(json.loads, lines[1:])}
    data = digits.task()
    digits.trained_once(archs[0], 0, data)  # what is loaded on first use would be counted as training
    todo = [(i, seed) for seed in range(digits.SEEDS) for i in range(len(archs)) if (i, seed) not in done]
    with file.open("a", encoding="utf-8") as out:
        for n, (i, seed) in enumerate(todo):
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(todo) - n} trainings are left; run the same command again")
            levels = [list(reached) for reached in digits.trained_once(archs[i], seed, data).values()]
            done[i, seed] = levels
            out.write(json.dumps({"row": i, "seed": seed, "levels": levels}) + "\n")
            out.flush()
            if n % 50 == 0:
                print(f"{time.strftime('%H:%M:%S')} {n} of {len(todo)}", file=sys.stderr, flush=True)
    return done


def accuracy_columns(archs: Architectures, done: dict[tuple[int, int], list[list[float]]]) -> dict[str, np.ndarray]:
    """Everything but latencies."""
    rows = range(len(archs))
    values = np.array([[done[i, s] for s in range(digits.SEEDS)] for i in rows])  # (rows, seeds, levels, 3)
    columns = {"codes": archs.codes.astype(np.int8)}
    for k, epochs in enumerate(digits.LEVELS):
        columns[f"valid_e{epochs}"] = values[:, :, k, 0].astype(np.int16)
        columns[f"test_e{epochs}"] = values[:, :, k, 1].astype(np.int16)
        columns[f"train_s_e{epochs}"] = values[:, :, k, 2].astype(np.float32)
    counted = Counts(archs.space, digits.SHAPE).evaluate(archs)
    for name in ("params", "macs"):
        columns[name] = np.round(counted[f"{name}_m"] * 1e6).astype(np.int32)
    return columns


def latency_columns(archs: Architectures) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Latencies of all networks, in turns with each other, and how they were measured."""
    nets = [build(archs[i], digits.SHAPE, seed=0) for i in range(len(archs))]
    columns: dict[str, np.ndarray] = {}
    notes: dict[str, Any] = {"date": time.strftime("%Y-%m-%d")}
    for threads in digits.THREADS:
        meter = LatencyMeter("onnxruntime", threads=threads, protocol=PROTOCOL)
        before = os.getloadavg()[0]
        reports = meter.measure(nets, digits.SHAPE)
        columns[f"latency_{threads}_ms"] = np.array([r.median_ms for r in reports], np.float32)
        columns[f"latency_{threads}_iqr_ms"] = np.array([r.iqr_ms for r in reports], np.float32)
        first = reports[0]
        notes[f"threads_{threads}"] = {
            "load_average": [round(before, 2), round(os.getloadavg()[0], 2)],
            "drift_percent": round(first.drift_percent, 2),
            "drifted": first.drifted,
            "reference_ms": first.reference_ms,
            "fewest_runs": min(r.repeats for r in reports),
        }
        notes["meter"] = {k: v for k, v in meter.describe().items() if k != "threads"}
    return columns, notes


def figures(columns: dict[str, np.ndarray], notes: dict[str, Any]) -> dict[str, Any]:
    """What the table is like."""
    last = digits.LEVELS[-1]
    test = {e: 100.0 * columns[f"test_e{e}"] / digits.TEST for e in digits.LEVELS}
    valid = {e: 100.0 * columns[f"valid_e{e}"] / digits.VALID for e in digits.LEVELS}
    truth = test[last].mean(axis=1)

    def rank(values: np.ndarray, other: np.ndarray = truth) -> float:
        return round(float(spearmanr(values, other)[0]), 3)

    return {
        "architectures": len(truth),
        "seeds": digits.SEEDS,
        "train_cpu_seconds": round(float(columns[f"train_s_e{last}"].sum()), 1),
        "mean_test_accuracy_percent": [round(float(v), 2) for v in np.percentile(truth, [0, 25, 50, 75, 100])],
        "seed_deviation_percent": round(float(test[last].std(axis=1, ddof=1).mean()), 3),
        "spearman_of_one_validation_with_mean_test": {e: rank(valid[e][:, 0]) for e in digits.LEVELS},
        "spearman_of_two_seeds_test": rank(test[last][:, 0], test[last][:, 1]),
        "spearman_with_mean_test": {name: rank(columns[name]) for name in ("params", "macs", "latency_1_ms")},
        "spearman_of_macs_with_latency": rank(columns["macs"], columns["latency_1_ms"]),
        "latency_ms": {
            t: [round(float(v), 4) for v in np.percentile(columns[f"latency_{t}_ms"], [0, 50, 100])]
            for t in digits.THREADS
        },
        "median_iqr_percent": {
            t: round(100 * float(np.median(columns[f"latency_{t}_iqr_ms"] / columns[f"latency_{t}_ms"])), 1)
            for t in digits.THREADS
        },
        "latency": notes,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=Path("runs/digits_table"))
    parser.add_argument("--latency-only", action="store_true")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop training after this time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = digits.path()
    if args.latency_only:
        columns = dict(read_npz(file))
        about = json.loads(str(columns.pop("about")))
        archs = digits.make_space().architectures(columns["codes"])
    else:
        archs = every_architecture(digits.make_space())
        done = trainings(archs, args.work, time.monotonic() + 60 * args.minutes)
        columns = accuracy_columns(archs, done)
        about = {**settings(archs.space), "trained": time.strftime("%Y-%m-%d"), "torch": torch.__version__}
    latencies, notes = latency_columns(archs)
    columns |= latencies
    about["latency"] = notes
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, **columns, about=np.array(json.dumps(about)))
    finish("digits_table", {**figures(columns, notes), "file_kb": round(file.stat().st_size / 1e3, 1)})


if __name__ == "__main__":
    main()
