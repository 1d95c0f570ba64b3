"""The main job on real data: scikit-learn's digits, an elastic convolutional space, latency of this machine.

Run it with `make demo`; `python examples/demo.py --data cifar10_20k --budget 20m` does the same on CIFAR-10 images.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

START = time.monotonic()


def main() -> None:
    """Search for accurate and fast networks, finish the best, and say where everything is."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--budget", default="150s")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", default="")
    given = arguments.parse_args()
    out = given.out or f"runs/demo-{time.strftime('%Y%m%d-%H%M%S')}"
    print(f"archwright demo: {given.data}, at most {given.budget}, into {out}", flush=True)

    from archwright.job.config import check
    from archwright.job.run import run_job

    config = check(
        {
            "data": given.data,
            "maximize": ["accuracy_percent"],
            "minimize": ["latency_ms"],
            "subject_to": ["params_m<=0.1"],
            "training": "sandwich",
            "budget": given.budget,
            "seed": given.seed,
            "out": out,
        }
    )
    result = run_job(config, start=START)
    print(f"open {Path(out, 'report.html').resolve()} in a browser; archwright show {result.folder} prints the network")


if __name__ == "__main__":
    main()
