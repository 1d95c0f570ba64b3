"""Times a search step (architecture and weights) of a method, alone or in alternation with a peer.

    python benchmarks/search_step.py --method darts --space darts --batch 16 --steps 5 --threads 1
    python benchmarks/search_step.py --method darts --peer "python peer_step.py" --rounds 3 --record "darts on darts"

Prints one JSON line: median wall and CPU seconds of a step, peak memory, settings. A peer is any command whose last
line is a JSON object with `wall_s`, `cpu_s` and `peak_memory_mb` of one of its steps; it runs in alternation with this
script in fresh processes, without and with the optional compiled kernels, and the medians and their ratios are printed.
`--record NAME` also writes them under that name into benchmarks/results/search_step.json. With `--compile` the peer is
this script without it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time

from common import RESULTS, described


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="darts")
    parser.add_argument("--space", default="darts")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernels", choices=["auto", "off"], default="auto", help="optional compiled kernels")
    parser.add_argument(
        "--plain", action="store_true", help="without the rewritings: the reference of the same mathematics"
    )
    parser.add_argument("--phase", choices=["both", "weights", "architecture"], default="both")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--compile", action="store_true", help="compiled passes; captured graphs on CUDA devices")
    parser.add_argument("--space-options", default="{}", help='settings of the space as JSON, such as {"cells": 2}')
    parser.add_argument("--peer", help="command that prints its step time; run in alternation")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", help="name of the comparison in benchmarks/results/search_step.json")
    return parser.parse_args()


def prepare(options: argparse.Namespace):
    import torch

    from archwright import registry
    from archwright.gradient.core import Core
    from archwright.gradient.recipes import recipe
    from archwright.gradient.step import Stepper

    torch.manual_seed(0)
    shape = (3, options.size, options.size)
    method = recipe(options.method)
    space = registry.get("spaces", options.space)(shape, 10, **json.loads(options.space_options))
    core = Core(space, shape, relaxation=method.relaxation, mixing=method.mixing).to(options.device)
    core.supernet.to(memory_format=torch.channels_last)
    core.train()
    if options.compile:
        core.compiled = "graphs"
    if options.plain:
        unoptimised(core)
    learned = [p for p in core.architecture_parameters() if p.requires_grad]
    stepper = Stepper(
        core=core,
        loss=torch.nn.functional.cross_entropy,
        weights=method.weights.build(core.weight_parameters()),
        architecture=method.architecture.build(learned) if learned else None,
        penalties=method.penalties,
        clip=method.weights.clip,
        autocast=options.autocast,
        make_optimizer=method.weights.build,
        captured=options.compile,
    )
    return method, stepper, shape


def unoptimised(core) -> None:
    """Mix without rewritings."""
    from dataclasses import replace

    engine = core.method.engine()
    object.__setattr__(core.method, "engine", lambda: replace(engine, optimised=False))


def measure(options: argparse.Namespace) -> dict:
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.kernels == "off":
        os.environ["ARCHWRIGHT_KERNELS"] = "off"
    import torch

    torch.set_num_threads(options.threads)
    method, stepper, shape = prepare(options)
    generator = torch.Generator().manual_seed(1)

    def batch():
        x = torch.randn(options.batch, *shape, generator=generator)
        y = torch.randint(0, 10, (options.batch,), generator=generator)
        return x.contiguous(memory_format=torch.channels_last).to(options.device), y.to(options.device)

    def step(number: int) -> None:
        stepper.generator.manual_seed(number)
        if options.phase == "both":
            method.update.step(stepper, batch(), batch(), number)
        elif options.phase == "weights":
            stepper.weights_step(batch())
        else:
            stepper.architecture_step(batch())
        if options.device != "cpu":
            torch.cuda.synchronize()

    began = time.perf_counter()
    for i in range(2):
        step(i)
    first_s = time.perf_counter() - began
    wall, cpu = [], []
    for i in range(options.steps):
        w, c = time.perf_counter(), time.process_time()
        step(2 + i)
        wall.append(time.perf_counter() - w)
        cpu.append(time.process_time() - c)
    from archwright.nets.kernels import available

    return {
        "wall_s": statistics.median(wall),
        "cpu_s": statistics.median(cpu),
        "wall_min_s": min(wall),
        "cpu_min_s": min(cpu),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        "method": options.method,
        "space": options.space,
        "batch": options.batch,
        "size": options.size,
        "steps": options.steps,
        "threads": options.threads,
        "phase": options.phase,
        "plain": options.plain,
        "compiled": options.compile,
        "first_steps_s": first_s,
        "space_options": options.space_options,
        "kernels": options.kernels == "auto" and available(),
        "device": options.device,
        "torch": torch.__version__,
    }


def last_json(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def alternate(options: argparse.Namespace) -> dict:
    """The peer and this script in turns; `x_ratio` is the peer's x over ours."""
    own = [sys.executable, __file__]
    for name in ("method", "space", "batch", "size", "steps", "threads", "phase", "device", "space_options"):
        own += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    own += ["--plain"] if options.plain else []
    peer = shlex.split(options.peer) if options.peer else own
    own += ["--compile"] if options.compile else []
    kernels = ["off"] if options.kernels == "off" or options.compile else ["off", "auto"]
    rows: dict[str, list[dict]] = {"peer": [], **{k: [] for k in kernels}}
    for _ in range(options.rounds):
        rows["peer"].append(last_json(peer))
        for k in kernels:
            rows[k].append(last_json([*own, "--kernels", k]))
    medians = {
        who: {key: statistics.median(r[key] for r in found) for key in ("wall_s", "cpu_s", "peak_memory_mb")}
        for who, found in rows.items()
    }
    result = {"rounds": options.rounds, "settings": rows[kernels[0]][0], "peer": medians["peer"]}
    for k in kernels:
        ratios = {f"{key}_ratio": medians["peer"][key] / ours for key, ours in medians[k].items()}
        result["with_kernels" if k == "auto" else "pure_torch"] = medians[k] | ratios
    return result


def record(name: str, result: dict) -> None:
    """Write one comparison beside those that are there."""
    path = RESULTS / "search_step.json"
    known = json.loads(path.read_text())["comparisons"] if path.exists() else {}
    about = {k: v for k, v in described({}).items() if k != "command"}
    content = {**about, "comparisons": known | {name: described(result)}}
    path.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    options = arguments()
    compared = options.peer or (options.record and options.compile)
    result = alternate(options) if compared else measure(options)
    print(json.dumps(result))
    if options.record and compared:
        record(options.record, result)


if __name__ == "__main__":
    main()
