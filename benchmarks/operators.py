"""What operators cost to ask and to run: counts against tracing, and attention with half the query heads.

    python benchmarks/operators.py > benchmarks/results/operators.json

`counts_us` is the time of one `counts` over the examples of all leaves, `trace_us` that of building and running the
module on the meta device. `attention` compares multi-head attention with sparse query attention (Hq = H / 2) at 4096
tokens, forward pass, median of alternating repetitions.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch

from archwright import registry
from archwright.operators import Attention
from archwright.operators.base import Leaf, trace


def counting() -> dict[str, float]:
    classes = [registry.get("operators", name) for name in registry.names("operators")]
    cases = [case for cls in classes for case in cls.examples() if issubclass(cls, Leaf) and cls.__name__ != "Call"]
    start = time.perf_counter()
    rounds = 200
    for _ in range(rounds):
        for operator, inputs in cases:
            operator.counts(*inputs)
    counted = (time.perf_counter() - start) / rounds / len(cases)
    start = time.perf_counter()
    for operator, inputs in cases:
        trace.__wrapped__(operator, inputs)
    traced = (time.perf_counter() - start) / len(cases)
    return {"cases": len(cases), "counts_us": counted * 1e6, "trace_us": traced * 1e6, "ratio": traced / counted}


@torch.no_grad()
def attention(length: int = 4096, features: int = 256, heads: int = 8, repetitions: int = 7) -> dict[str, float]:
    shape = (length, features)
    kinds = {
        "mha": Attention(heads),
        "gqa_kv2": Attention(heads, kv_heads=2),
        "mqa": Attention(heads, kv_heads=1),
        "sqa_half": Attention(heads, query_heads=heads // 2),
        "sqa_half_kv2": Attention(heads, query_heads=heads // 2, kv_heads=2),
    }
    modules = {name: operator.module(shape).eval() for name, operator in kinds.items()}
    x = torch.randn(1, *shape)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(repetitions + 1):
        for name, module in modules.items():
            start = time.perf_counter()
            module(x)
            if turn:  # the first one warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    result = {f"{name}_ms": statistics.median(t) for name, t in times.items()}
    result["sqa_half_speedup"] = result["mha_ms"] / result["sqa_half_ms"]
    result["sqa_half_macs_share"] = kinds["sqa_half"].counts(shape).macs / kinds["mha"].counts(shape).macs
    return result


if __name__ == "__main__":
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    print(json.dumps({"threads": threads, "counting": counting(), "attention": attention()}, indent=2))
