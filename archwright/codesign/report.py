"""The report of a co-design run: front of networks and hardware, the best design's schedule, roofline and layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archwright.codesign.joint import described, hardware_of
from archwright.codesign.setup import Setup, prepare
from archwright.report import hardware
from archwright.report.collect import from_result
from archwright.report.data import Section
from archwright.report.hardware import PALETTE, Piece, Roof
from archwright.report.html import report
from archwright.report.plots import plane
from archwright.report.words import split_metric, with_unit
from archwright.search.result import SearchResult
from archwright.search.trial import Trial

MOST_KINDS = 6  # kinds of hardware with a colour of their own


def write_report(folder: str | Path, *, setup: Setup | None = None, result: SearchResult | None = None) -> Path:
    """Write report.html of a run; what is not given is read from the folder.

    Raises:
        RunLogError: if the folder holds no co-design run.
    """
    from archwright.codesign.run import read_config
    from archwright.search.run import load_trials

    folder = Path(folder)
    setup = setup or prepare(read_config(folder))
    result = result or load_trials(setup.problem, folder)
    c = setup.config
    more: dict[str, Any] = {
        "labels": tuple(_label(setup, t) for t in result.trials),
        "space": f"networks for {', '.join(setup.tasks)} and {len(c.accelerators)} sub-accelerators",
        "settings": {k: str(getattr(c, k)) for k in ("strategy", "start", "budget", "seed")},
        "command": f"archwright codesign {folder / 'run.toml'} --out ANOTHER_FOLDER",
        "missing": {
            "network": "",
            "layer_costs": "",
            "calibrations": "",
            "curves": "No design within the limits was found.",
        },
        "sections": sections(setup, result),
    }
    return report(from_result(result, title=f"co-design: {folder.name}", **more), folder / "report.html")


def _label(setup: Setup, trial: Trial) -> str:
    return " | ".join(described(setup.space, trial.candidate.architecture.code)) or "no accelerator"


def sections(setup: Setup, result: SearchResult) -> tuple[Section, ...]:
    """What only co-design shows."""
    found = [_front(setup, result)]
    if result.trials and np.isfinite(result.violation).any():
        best = result.best
        found += [_schedule(setup, best), _roofline(setup, best), *_layers(setup, best)]
    return tuple(s for s in found if s is not None)


def _kind(setup: Setup, code: np.ndarray) -> str:
    """The dataflows of a design's sub-accelerators, in alphabetical order."""
    parts = hardware_of(setup.space, np.asarray(code)[None])
    used = sorted(str(t) for t, pes in zip(parts["template"][0], parts["pes"][0], strict=True) if pes)
    return " + ".join(used) or "none"


def _front(setup: Setup, result: SearchResult) -> Section | None:
    """Designs within the limits over two objectives, coloured by the dataflows of their hardware."""
    data = from_result(result, title="")
    axes = plane(data)
    done = [t for t in result.trials if t.state == "complete"]
    if axes is None or not done:
        return None
    x, y = (o.metric for o in axes)
    kinds = [_kind(setup, t.candidate.architecture.code) for t in done]
    common = sorted(set(kinds), key=lambda k: -kinds.count(k))[:MOST_KINDS]
    groups: dict[str, tuple[list[float], list[float], list[str]]] = {}
    for name in [*common, "others"]:
        rows = [t for t, k in zip(done, kinds, strict=True) if (k if k in common else "others") == name]
        if rows:
            texts = [_hover(setup, t, (x, y)) for t in rows]
            groups[name] = [t.metrics[x] for t in rows], [t.metrics[y] for t in rows], texts
    front = sorted((t.metrics[x], t.metrics[y]) for t in result.front)
    figure = hardware.joint_front(groups, tuple(map(list, zip(*front, strict=True))), (x, y))  # type: ignore[arg-type]
    return Section(
        "Networks and hardware",
        figure=figure,
        note=(
            "Designs within all limits, coloured by the dataflows of their sub-accelerators; the line is the front. "
            "The few that are far from the others are left out."
        ),
    )


def _hover(setup: Setup, trial: Trial, metrics: Sequence[str]) -> str:
    numbers = [f"{split_metric(m)[0]} {with_unit(m, trial.metrics[m])}" for m in metrics]
    return "\n".join([f"trial {trial.number}", *numbers, *described(setup.space, trial.candidate.architecture.code)])


def _names(setup: Setup, code: np.ndarray) -> list[str]:
    parts = hardware_of(setup.space, code[None])
    return [
        f"{k + 1}: {t}, {p} PEs" for k, (t, p) in enumerate(zip(parts["template"][0], parts["pes"][0], strict=True))
    ]


def _schedule(setup: Setup, best: Trial) -> Section | None:
    """Where and when every layer of the best design runs."""
    code = np.asarray(best.candidate.architecture.code)
    pieces = _pieces(setup, code)
    if not pieces:
        return None
    return Section(
        "Schedule of the best design",
        figure=hardware.schedule(pieces, "ms"),
        note="One bar a layer, in the heuristic schedule whose latency and energy the search saw.",
    )


def _pieces(setup: Setup, code: np.ndarray) -> list[Piece]:
    times, _ = setup.cost.layer_costs(code[None])
    placed, names = setup.cost.schedule(code[None]).placed[0], _names(setup, code)
    layers = {task: setup.cost.layers(code, task) for task in setup.tasks}
    ready, free = dict.fromkeys(setup.tasks, 0.0), [0.0] * len(names)
    left = {task: [i for i in range(times.shape[2]) if placed[k, i] >= 0] for k, task in enumerate(setup.tasks)}
    order = list(setup.tasks)
    pieces = []
    while any(left.values()):  # as the scheduler does: the network that is ready first goes on
        task = min((t for t in order if left[t]), key=lambda t: (ready[t], order.index(t)))
        k, i = order.index(task), left[task].pop(0)
        a = int(placed[k, i])
        start, length = max(ready[task], free[a]), float(times[0, k, i, a])
        ready[task] = free[a] = start + length
        pieces.append(Piece(names[a], task, layers[task][i].name, start, length))
    return pieces


def _roofline(setup: Setup, best: Trial) -> Section | None:
    """Layers of the best design under the roofs of the sub-accelerators that run them."""
    code, t = np.asarray(best.candidate.architecture.code), setup.cost.technology
    times, _ = setup.cost.layer_costs(code[None])
    placed, names = setup.cost.schedule(code[None]).placed[0], _names(setup, code)
    pes = hardware_of(setup.space, code[None])["pes"][0]
    roofs = []
    for a, name in enumerate(names):
        rows = [(k, i) for k, i in np.argwhere(placed == a)]
        if not pes[a] or not rows:
            continue
        own = [setup.cost.layers(code, list(setup.tasks)[k])[i] for k, i in rows]
        roofs.append(
            Roof(
                name, 2.0 * float(pes[a]) * t.frequency_hz, 1e9 * t.memory_gb_per_s, [x.name for x in own],
                [2 * x.macs for x in own], [x.moved_b for x in own], [1e-3 * float(times[0, k, i, a]) for k, i in rows],
            )
        )  # fmt: skip
    figure = hardware.roofline(roofs)
    if figure is None:
        return None
    note = "Each circle is a layer of the best design on the sub-accelerator that runs it, its area its share of time."
    return Section("Roofline of the best design", figure=figure, note=note)


def _layers(setup: Setup, best: Trial) -> list[Section]:
    """Bars by layer for each network of the best design, coloured by sub-accelerator."""
    code = np.asarray(best.candidate.architecture.code)
    times, _ = setup.cost.layer_costs(code[None])
    placed = setup.cost.schedule(code[None]).placed[0]
    out = []
    for k, task in enumerate(setup.tasks):
        layers = setup.cost.layers(code, task)
        rows = [i for i in range(len(layers)) if placed[k, i] >= 0]
        if not rows:
            continue
        values = [float(times[0, k, i, placed[k, i]]) for i in rows]
        colours = [PALETTE[int(placed[k, i]) % len(PALETTE)] for i in rows]
        unit, scale = ("latency_us", 1000.0) if max(values) < 0.1 else ("latency_ms", 1.0)
        figure = hardware.layer_bars([layers[i].name for i in rows], [scale * v for v in values], unit, colours)
        note = "Colours are those of the sub-accelerators in the roofline: " + "; ".join(
            f"{w}" for w in described(setup.space, code)
        )
        out.append(Section(f"Latency by layer: {task}", figure=figure, note=note + "."))
    return out
