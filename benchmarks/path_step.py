"""Steps over shared weights against plain networks: sampled paths, superposed weights, the sandwich.

CPU seconds of one thread, both kinds of steps in alternation in one process, in the same memory format; sums over the
steps and their ratio. Limits: a sampled path 1.2 times the plain network of the same path, a superposition of all
choices 1.3 times the largest network, a sandwich of four subnets half of four steps of the largest network, four
subnets on a quarter of the batch each 1.3 times one of them on the whole batch.
`python benchmarks/path_step.py`
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import RESULTS, finish
from torch import Tensor, nn

from archwright import registry
from archwright.gradient.core import Core
from archwright.gradient.recipes import recipe
from archwright.gradient.step import Stepper
from archwright.gradient.updates.multi_path import MultiPath
from archwright.nets import Supernet, build
from archwright.nets.active import ActiveUpdate
from archwright.nets.recipe import Recipe
from archwright.nets.train_supernet import Sandwich
from archwright.tasks import load

Batch = tuple[Tensor, Tensor]
PATHS = {
    "spos on darts": ("spos", "darts", (3, 32, 32), 16, {}),
    "gdas on darts": ("gdas", "darts", (3, 32, 32), 16, {}),
    "gdas on nasbench201": ("gdas", "nasbench201", (3, 32, 32), 32, {}),
    "proxylessnas": ("proxylessnas", "proxylessnas", (3, 96, 96), 8, {}),
}
MIXTURES = {
    "convnet": ("convnet", (3, 32, 32), 32, {}),
    "autoformer": ("autoformer", (3, 32, 32), 16, {"patch": 4, "widths": (96, 128, 192), "depths": (4, 5, 6),
                                                    "heads": (2, 3), "ratios": (2.0, 3.0, 4.0)}),
}  # fmt: skip
SHARED = {"vit_resnas": ("vit_resnas", (3, 224, 224), 32, {})}
SANDWICHES = {"mobilenetv3": ("mobilenetv3", (3, 96, 96), 8, {})}


def images(shape: tuple[int, ...], batch: int, number: int) -> Batch:
    """Random images, the channels last in memory, and labels."""
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(batch, *shape, generator=generator).contiguous(memory_format=torch.channels_last)
    return x, torch.randint(0, 10, (batch,), generator=generator)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def plain_step(net: nn.Module, batch: Batch) -> Callable[[], None]:
    """Forward, backward, clipping and momentum of a network by itself."""
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(batch[0]), batch[1]).backward()
        nn.utils.clip_grad_norm_([p for p in net.parameters() if p.grad is not None], 5.0)
        optimizer.step()

    return step


def sampled(method_name: str, space_name: str, shape: tuple[int, ...], batch: int, options: Any, steps: int) -> Any:
    """The weights step of a method that samples one path, and the plain network of that path."""
    method = recipe(method_name)
    space = registry.get("spaces", space_name)(shape, 10, **options)
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing)
    core.supernet.to(memory_format=torch.channels_last)
    core.train()
    stepper = Stepper(core, nn.functional.cross_entropy, method.weights.build(core.weight_parameters()), None)
    ours, plain = [], []
    for i in range(steps + 2):
        stepper.generator.manual_seed(i)
        weights = core.weights(stepper.draw("weights"))
        code = [weights.active[d.path][0] for d in core.inner.decisions]
        net = core.supernet.extract(space.architectures(space.canonical(np.array([code])))[0])
        data = images(shape, batch, i)
        alone = plain_step(net, data)
        alone()  # what a network's first step prepares
        stepper.generator.manual_seed(i)
        plain.append(cpu_seconds(alone))
        ours.append(cpu_seconds(lambda d=data: stepper.weights_step(d)))
    return compared(ours[2:], plain[2:], 1.2)


def compared(ours: list[float], plain: list[float], limit: float) -> dict[str, float]:
    """Sums and their ratio."""
    a, b = sum(ours) / len(ours), sum(plain) / len(plain)
    return {"step_s": round(a, 5), "plain_s": round(b, 5), "ratio": round(a / b, 3), "limit": limit}


def superposed(space_name: str, shape: tuple[int, ...], batch: int, options: Any, steps: int) -> Any:
    """The weights step of an entangled mixture of all choices, and a step of the largest network."""
    method = recipe("tanglenas")
    space = registry.get("spaces", space_name)(shape, 10, **options)
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing)
    core.supernet.to(memory_format=torch.channels_last)
    core.train()
    stepper = Stepper(core, nn.functional.cross_entropy, method.weights.build(core.weight_parameters()), None)
    largest = build(space.largest(), shape)
    ours, plain = [], []
    for i in range(steps + 2):
        data = images(shape, batch, i)
        alone = plain_step(largest, data)
        stepper.generator.manual_seed(i)
        plain.append(cpu_seconds(alone))
        ours.append(cpu_seconds(lambda d=data: stepper.weights_step(d)))
    return compared(ours[2:], plain[2:], 1.3)


def sandwich(space_name: str, shape: tuple[int, ...], batch: int, options: Any, steps: int) -> Any:
    """The sandwich of largest, smallest and two random subnets, and four steps of the largest network."""
    space = registry.get("spaces", space_name)(shape, 10, **options)
    supernet = Supernet(space, shape).train()
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = load((np.zeros((40, *shape), np.float32), np.arange(40) % 10))
    recipe_ = Recipe(batch=batch)
    shared, step = recipe_.optimizer_for(supernet), Sandwich(supernet, task, recipe_)
    update, rng = ActiveUpdate(supernet), np.random.default_rng(0)
    largest = build(space.largest(), shape)
    ours, plain = [], []
    for i in range(steps + 2):
        data = images(shape, batch, i)
        alone = plain_step(largest, data)
        plain.append(4 * cpu_seconds(alone))

        def whole(data: Batch = data) -> None:
            shared.zero_grad(set_to_none=True)
            step(*data, rng)
            update(shared)

        ours.append(cpu_seconds(whole))
    return compared(ours[2:], plain[2:], 0.5)


def shared(space_name: str, shape: tuple[int, ...], batch: int, options: Any, steps: int) -> Any:
    """A step of four subnets on a quarter of the batch each, and of one of them in turn on all of it."""
    space = registry.get("spaces", space_name)(shape, 10, **options)
    method = recipe("multi-arch", update=MultiPath(4, "parts"))
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing)
    core.train()
    stepper = Stepper(core, nn.functional.cross_entropy, method.weights.build(core.weight_parameters()), None)
    ours, one = [], []
    for i in range(steps + 1):
        data = images(shape, batch, i)
        stepper.generator.manual_seed(i)
        paths = method.update.draw(core, stepper.generator)
        stepper.generator.manual_seed(i)
        several = cpu_seconds(lambda d=data: method.update.step(stepper, d, d, 0))
        alone = []
        for path in paths:
            fixed = FixedPath(1, "plain", path)
            alone.append(cpu_seconds(lambda d=data, u=fixed: u.step(stepper, d, d, 0)))
        ours.append(several)
        one.append(sum(alone) / len(alone))
    return compared(ours[1:], one[1:], 1.3)


@dataclass(frozen=True)
class FixedPath(MultiPath):
    """One given path a step."""

    path: Any = None

    def draw(self, core: Core, generator: torch.Generator) -> list[Any]:
        """The given path."""
        return [self.path]


def main() -> None:
    """All kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--only", default="", help="names that hold this text; the others stay as they were recorded")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = RESULTS / "path_step.json"
    known = json.loads(path.read_text()) if given.only and path.exists() else {}
    figures: dict[str, dict[str, Any]] = known.get("cpu_seconds_a_step", {})
    for kind, cases, measure in (
        ("sampled_path", PATHS, sampled), ("superposed", MIXTURES, superposed), ("sandwich", SANDWICHES, sandwich),
        ("shared_batch", SHARED, shared),
    ):  # fmt: skip
        for name, case in cases.items():
            if given.only in name:
                found = measure(*case, given.steps)
                figures.setdefault(kind, {})[name] = found | {"load_average": round(os.getloadavg()[0], 2)}
                print(name, found, flush=True)
    finish("path_step", {**known, "cpu_seconds_a_step": figures})


if __name__ == "__main__":
    main()
