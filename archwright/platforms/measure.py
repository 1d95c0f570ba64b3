"""Measuring the host: peak of matrix products, bandwidth of the main memory, overhead of one operator.

Each number is the median of repetitions after a warm-up that ends when medians agree; the fastest size counts. The
result is a platform file that `load("host")` finds, with the machine and the conditions as its source.
"""

from __future__ import annotations

import os
import platform as machine
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from archwright.platforms.loader import folders, parse
from archwright.platforms.schema import Platform


def _median_s(call: Callable[[], object], repetitions: int) -> float:
    last = float("inf")
    for _ in range(20):  # warm until two medians of five agree to 5 %
        now = statistics.median(_time(call) for _ in range(5))
        if abs(now - last) <= 0.05 * now:
            break
        last = now
    return statistics.median(_time(call) for _ in range(repetitions))


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def gemm_ops_per_s(sizes: tuple[int, ...] = (512, 1024, 1536), repetitions: int = 15) -> float:
    """Operations per second of the quickest square float32 product, two a multiply-accumulate."""
    import torch

    best = 0.0
    for size in sizes:
        a, b = torch.randn(size, size), torch.randn(size, size)
        out = torch.empty(size, size)
        best = max(best, 2 * size**3 / _median_s(partial(torch.mm, a, b, out=out), repetitions))
    return best


def vector_ops_per_s(repetitions: int = 25) -> float:
    """Elements per second of one rectifier on a map that stays in the cache."""
    import torch

    x = torch.randn(1 << 15)
    return x.numel() / _median_s(lambda: torch.relu_(x), repetitions)


def memory_b_per_s(megabytes: int = 256, repetitions: int = 9) -> float:
    """Bytes per second, read and written, of a copy that is much larger than the caches."""
    import torch

    source = torch.ones(megabytes * 250_000)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _median_s(lambda: target.copy_(source), repetitions)


def launch_s(repetitions: int = 200) -> float:
    """Seconds of an operator that does next to nothing."""
    import torch

    x = torch.zeros(8)

    def hundred() -> None:
        for _ in range(100):
            torch.relu(x)

    return _median_s(hundred, max(5, repetitions // 10)) / 100


def measure_host(threads: int | None = None) -> str:
    """TOML text of this machine as a roofline platform; takes some seconds."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        used = torch.get_num_threads()
        peak, vector, bandwidth, launch = gemm_ops_per_s(), vector_ops_per_s(), memory_b_per_s(), launch_s()
    finally:
        torch.set_num_threads(before)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    source = (
        f"measured {time.strftime('%Y-%m-%d')} on {machine.machine()} with {used} of {os.cpu_count()} threads, "
        f"torch {torch.__version__}; medians after warm-up"
    )
    return (
        f'title = "this machine, {used} threads"\nkind = "roofline"\n\n'
        f"[compute]\nfp32_ops_per_s = {peak:.6g}\nvector_ops_per_s = {vector:.6g}\nlaunch_s = {launch:.4g}\n\n"
        f"[memory]\nb_per_s = {bandwidth:.6g}\ncapacity_b = {float(memory):.6g}\n\n"
        f'[sources]\ncompute = "{source}"\nmemory = "{source}; copy of 256 MB, read and written"\n'
    )


def save_host(text: str, folder: str | Path | None = None) -> tuple[Platform, Path]:
    """Check a measured platform and write it as `host.toml` where `load` looks first."""
    found = parse(text, name="host")
    target = Path(folder) if folder is not None else folders()[0 if "ARCHWRIGHT_PLATFORMS" in os.environ else -2]
    target.mkdir(parents=True, exist_ok=True)
    path = target / "host.toml"
    path.write_text(text, encoding="utf-8")
    return found, path
