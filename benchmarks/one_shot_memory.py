"""Bytes of activations that a search step stores for its backward pass, by method, beside one plain path.

    python benchmarks/one_shot_memory.py

Counted with saved_tensors_hooks: every storage once, parameters left out. Prints one JSON line and writes
benchmarks/results/one_shot_memory.json.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional as F

from archwright import registry
from archwright.gradient.core import Core, frozen
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.base import Draw
from archwright.nets import Supernet
from archwright.nets.mixing import Mixing

RESULTS = Path(__file__).parent / "results" / "one_shot_memory.json"


def stored(parameters, compute) -> int:
    """Bytes of the storages that a computation keeps for its backward pass, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}

    def pack(x):
        pointer = x.untyped_storage().data_ptr()
        if pointer not in own:
            kept[pointer] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = compute()
    total = sum(kept.values())
    loss.backward()
    return total


def of_method(name: str, space, shape, batch: int, phase: str) -> int:
    method = recipe(name)
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing)
    core.supernet.to(memory_format=torch.channels_last)
    core.train()
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,))
    draw = Draw(torch.Generator().manual_seed(0), 0.0, phase)
    still = core.weight_parameters() if phase == "architecture" else core.architecture_parameters()
    with frozen(still):
        return stored(core.parameters(), lambda: F.cross_entropy(core.outputs(x, core.weights(draw)), y))


def of_path(space, shape, batch: int, code=None) -> int:
    supernet = Supernet(space, shape).to(memory_format=torch.channels_last).train()
    a = space.largest() if code is None else code
    net = supernet.extract(a).train()
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,))
    return stored(net.parameters(), lambda: F.cross_entropy(net(x), y))


def elastic(choices: int, shape, batch: int) -> tuple[int, int]:
    """Entangled mixture of a space with so many widths and kernels, and its largest subnet."""
    from archwright.operators.conv import Conv
    from archwright.operators.head import Classifier
    from archwright.operators.sequential import Sequential
    from archwright.space import Space, oneof

    widths = np.linspace(16, 64, choices).round().astype(int).tolist()
    kernels = [1, 3, 5, 7][: min(4, choices)]
    parts = [Conv(oneof(*widths), kernel=oneof(*kernels), stride=1 + i % 2) for i in range(4)]
    space = Space(Sequential((*parts, Classifier(10))))
    supernet = Supernet(space, shape).to(memory_format=torch.channels_last).train()
    x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,))
    weights = {d.path: (torch.ones(d.size) / d.size).requires_grad_() for d in space.decisions}
    mixed = stored(supernet.parameters(), lambda: F.cross_entropy(supernet.mixture(x, weights, Mixing(True)), y))
    return mixed, of_path(space, shape, batch)


def main() -> None:
    torch.set_num_threads(1)
    shape, batch = (3, 32, 32), 16
    darts = registry.get("spaces", "darts")(shape, 10)
    result: dict = {"batch": batch, "unit": "bytes", "darts_space": {}, "entangled": {}}
    for name in ("darts", "pc-darts", "drnas", "gdas", "proxylessnas", "spos"):
        phases = ("weights",) if name == "spos" else ("architecture", "weights")
        row = {phase: of_method(name, darts, shape, batch, phase) for phase in phases}
        result["darts_space"][name] = row
    options = {d.name: "sep_conv_5x5" for d in darts.decisions}
    path = of_path(darts, shape, batch, darts.architecture(options))
    result["darts_space"]["plain path, sep_conv_5x5 on every edge"] = path
    rows = result["darts_space"]
    result["pc_darts_over_darts"] = {p: rows["pc-darts"][p] / rows["darts"][p] for p in ("architecture", "weights")}
    small = registry.get("spaces", "proxylessnas")(shape, 10)
    mobile = {phase: of_method("proxylessnas", small, shape, batch, phase) for phase in ("architecture", "weights")}
    rng = np.random.default_rng(0)
    paths = [of_path(small, shape, batch, a) for a in small.sample(5, rng)]
    result["proxylessnas_space"] = mobile | {"mean of 5 plain paths": float(np.mean(paths))}
    result["proxylessnas_over_path"] = {p: mobile[p] / float(np.mean(paths)) for p in mobile}
    for choices in (2, 4, 8):
        mixed, largest = elastic(choices, shape, batch)
        result["entangled"][str(choices)] = {"mixture": mixed, "largest subnet": largest, "ratio": mixed / largest}
    print(json.dumps(result))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
