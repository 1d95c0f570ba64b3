"""Step time of RARTS over DARTS with second order and with first order, on the DARTS space, alternated in one process.

    python benchmarks/one_shot_rarts.py

CPU seconds of one thread, medians over steps that take turns. Target: at most half of a second-order step.
Writes benchmarks/results/one_shot_rarts.json.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from common import finish

from archwright import registry
from archwright.gradient.core import Core
from archwright.gradient.recipes import recipe
from archwright.gradient.step import Stepper

NAMES = ("rarts", "darts-2nd", "darts")
TARGET = 0.5


def stepper_of(name: str, shape: tuple[int, ...], channels: int, cells: int) -> Stepper:
    """A stepper of a recipe with fresh parameters."""
    method = recipe(name)
    space = registry.get("spaces", "darts")(shape, 10, channels=channels, cells=cells)
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing)
    core.supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    core.train()
    return Stepper(
        core=core,
        loss=torch.nn.functional.cross_entropy,
        weights=method.weights.build(core.weight_parameters()),
        architecture=method.architecture.build(core.architecture_parameters()),
        clip=method.weights.clip,
        make_optimizer=method.weights.build,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = (3, 32, 32)
    steppers = {n: stepper_of(n, shape, options.channels, options.cells) for n in NAMES}
    generator = torch.Generator().manual_seed(0)
    seconds: dict[str, list[float]] = {n: [] for n in NAMES}
    for i in range(options.steps + 1):  # the first builds what later ones reuse
        x = torch.randn(2, options.batch, *shape, generator=generator)
        y = torch.randint(0, 10, (2, options.batch), generator=generator)
        train, valid = ((a.contiguous(memory_format=torch.channels_last), b) for a, b in zip(x, y, strict=True))
        for name in NAMES:
            steppers[name].generator.manual_seed(i)
            began = time.process_time()
            recipe(name).update.step(steppers[name], train, valid, i)
            if i:
                seconds[name].append(time.process_time() - began)
    median = {n: statistics.median(v) for n, v in seconds.items()}
    figures = {
        "settings": {k: v for k, v in vars(options).items() if k != "dry"},
        "cpu_seconds_a_step": median,
        "all": seconds,
        "rarts_over_second_order": median["rarts"] / median["darts-2nd"],
        "rarts_over_first_order": median["rarts"] / median["darts"],
        "target": TARGET,
        "met": median["rarts"] <= TARGET * median["darts-2nd"],
    }
    finish("one_shot_rarts", figures, write=not options.dry)


if __name__ == "__main__":
    main()
