"""What joint designs of networks and sub-accelerators cost (space in `joint.py`).

After NASAIC (Yang et al., DAC 2020): layers of all tasks' networks are scheduled on the sub-accelerators. Latency is
the makespan, energy the sum over layers, area the sum over sub-accelerators. Limits are part of the search problem; a
design whose hardware alone breaks the area limit, or whose peak rate cannot reach the latency limit even with the
smallest networks, is never scheduled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from archwright.codesign.joint import hardware_of, network_codes
from archwright.codesign.schedule import Schedule, list_schedule
from archwright.costs import dataflow
from archwright.costs.base import Columns
from archwright.costs.dataflow_cost import conv_of
from archwright.costs.kernels import ELEMENTWISE, Kernels, kernels_of
from archwright.costs.workload import rows_of
from archwright.errors import ConfigurationError
from archwright.operators.base import Shape
from archwright.operators.walk import annotate
from archwright.space import Architectures, Space


@dataclass(frozen=True)
class Technology:
    """Clock, memory and energies shared by the sub-accelerators: 45 nm, 8-bit words (Horowitz, ISSCC 2014)."""

    frequency_hz: float = 700e6
    memory_gb_per_s: float = 12.8
    mac_pj: float = 0.3
    register_pj: float = 0.06
    buffer_pj: float = 2.5
    dram_pj: float = 160.0
    mac_um2: float = 419.0
    buffer_um2_per_b: float = 1.2
    noc_um2_per_b_per_cycle: float = 2000.0


class Layer(NamedTuple):
    """A layer's name, multiply-accumulates, and bytes of its tensors at 8 bits, each moved once."""

    name: str
    macs: float
    moved_b: float


class CoDesign:
    """Latency, energy and area of joint designs, and the energy of each task's network as `TASK_energy_mj`.

    Args:
        space: from `codesign_space`.
        tasks: the same mapping of task to network space.
        input_shapes: task -> shape of its input, without the batch axis.
        technology: clock, memory and energies.
        latency_limit_ms: what the scheduler aims at when it trades latency for energy; also prunes.
        area_limit_mm2: designs above it are not scheduled.
    """

    deterministic = True
    batched = True
    cheap = True

    def __init__(
        self,
        space: Space,
        tasks: Mapping[str, Space],
        input_shapes: Mapping[str, Shape],
        *,
        technology: Technology | None = None,
        latency_limit_ms: float = np.inf,
        area_limit_mm2: float = np.inf,
    ) -> None:
        missing = [t for t in tasks if t not in input_shapes]
        if missing:
            raise ConfigurationError(f"the task {missing[0]!r} needs an input shape")
        self.metrics = ("latency_ms", "energy_mj", "area_mm2", *(f"{t}_energy_mj" for t in tasks))
        self.space, self.tasks, self.input_shapes = space, dict(tasks), dict(input_shapes)
        self.technology = technology or Technology()
        self.latency_limit_ms, self.area_limit_mm2 = latency_limit_ms, area_limit_mm2
        self._roots = {name: annotate(s) for name, s in self.tasks.items()}
        self.pruned = 0
        self._known: dict[bytes, tuple[float, np.ndarray]] = {}  # every design is scheduled once
        self._least_macs: float | None = None

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,); latency and energy of pruned designs are infinite, so that any other is better."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        hardware = hardware_of(self.space, codes)
        area = self.area_mm2(hardware)
        hopeless = (area > self.area_limit_mm2) | (self.least_latency_ms(hardware) > self.latency_limit_ms)
        self.pruned += int(hopeless.sum())
        keys = [code.tobytes() for code in np.asarray(codes, dtype=np.int16)]
        fresh = list({keys[i]: i for i in np.flatnonzero(~hopeless).tolist() if keys[i] not in self._known}.values())
        for start in range(0, len(fresh), 256):
            rows = fresh[start : start + 256]
            self._known.update(
                zip([keys[i] for i in rows], zip(*self._scheduled(codes[rows]), strict=True), strict=True)
            )
        latency, energy = np.full(len(codes), np.inf), np.full((len(codes), len(self.tasks)), np.inf)
        for i in np.flatnonzero(~hopeless).tolist():
            latency[i], energy[i] = self._known[keys[i]]
        parts = {f"{t}_energy_mj": energy[:, k] for k, t in enumerate(self.tasks)}
        return {"latency_ms": latency, "energy_mj": energy.sum(axis=1), "area_mm2": area, **parts}

    def _scheduled(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Makespan (n,), and energy of each task's network (n, tasks)."""
        times, energies = self.layer_costs(codes)
        with np.errstate(invalid="ignore"):
            plan = list_schedule(times, energies, self.latency_limit_ms)
        chosen = np.take_along_axis(energies, np.maximum(plan.placed, 0)[..., None].astype(np.int64), axis=3)[..., 0]
        return plan.makespan, np.where(plan.placed >= 0, chosen, 0.0).sum(axis=2)

    def area_mm2(self, hardware: Mapping[str, np.ndarray]) -> np.ndarray:
        """Multipliers, buffers and network on chip, (n,)."""
        t = self.technology
        used = hardware["pes"] > 0
        noc = hardware["noc_gb_per_s"] * 1e9 / t.frequency_hz * t.noc_um2_per_b_per_cycle
        each = hardware["pes"] * t.mac_um2 + used * (1024 * hardware["buffer_kb"] * t.buffer_um2_per_b + noc)
        return np.asarray(1e-6 * each.sum(axis=1))

    def least_latency_ms(self, hardware: Mapping[str, np.ndarray]) -> np.ndarray:
        """Lower bound of any network's latency: the smallest networks' products at the peak rate of all multipliers."""
        if self._least_macs is None:
            self._least_macs = sum(self._smallest(name) for name in self.tasks)
        peak = hardware["pes"].sum(axis=1) * self.technology.frequency_hz
        return np.where(peak > 0, 1e3 * self._least_macs / np.maximum(peak, 1.0), np.inf)

    def _smallest(self, task: str) -> float:
        """Least products of a sample and of the smallest member; exact where the space has an emptiest member."""
        own = self.tasks[task]
        codes = np.concatenate([own.sample(256, np.random.default_rng(0)).codes, [own.smallest().code]])
        work = rows_of(own, codes, self.input_shapes[task], root=self._roots[task])
        kernels = kernels_of(work.rows)
        return float(work.sum(kernels.sum_rows(kernels.macs, len(work.rows))).min())

    def layers(self, code: np.ndarray, task: str) -> list[Layer]:
        """Every site of one task's network in a joint design (decisions,); places without a layer have no name."""
        own = network_codes(self.space, self.tasks, np.asarray(code)[None], task)
        work = rows_of(self.tasks[task], own, self.input_shapes[task], root=self._roots[task])
        kernels = kernels_of(work.rows)
        moved = kernels.sum_rows(kernels.inputs + kernels.weights + kernels.outputs, len(work.rows))
        macs = kernels.sum_rows(kernels.macs, len(work.rows))
        return [
            Layer(f"{work.rows.kinds[row]} {site}", float(macs[row]), float(moved[row]))
            if row >= 0
            else Layer("", 0, 0)
            for row, site in zip(work.index[0].tolist(), work.sites, strict=True)
        ]

    def layer_costs(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Milliseconds and millijoules, (n, tasks, layers, accelerators), NaN where there is no layer."""
        hardware = hardware_of(self.space, codes)
        works = [
            rows_of(
                s, network_codes(self.space, self.tasks, codes, name), self.input_shapes[name], root=self._roots[name]
            )
            for name, s in self.tasks.items()
        ]
        layers = max(w.index.shape[1] for w in works)
        shape = (len(codes), len(works), layers, hardware["pes"].shape[1])
        times, energies = np.full(shape, np.nan), np.full(shape, np.nan)
        for k, work in enumerate(works):
            kernels = kernels_of(work.rows)
            for a in range(shape[3]):
                tables = self._on(kernels, {name: v[:, a] for name, v in hardware.items()})
                for table, out in zip(tables, (times, energies), strict=True):
                    rows = np.zeros((len(work.rows) + 1, len(codes)))
                    np.add.at(rows, kernels.owner, table)
                    found = rows[work.index, np.arange(len(codes))[:, None]]
                    nothing = (work.index < 0) | (found == 0)
                    out[:, k, : work.index.shape[1], a] = np.where(nothing, np.nan, found)
        return times, energies

    def _on(self, kernels: Kernels, hardware: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Milliseconds and millijoules of kernels on one sub-accelerator per design, (kernels, n)."""
        t = self.technology
        arrays = {name: getattr(kernels, name)[:, None] for name in Kernels.__dataclass_fields__ if name not in _SKIP}
        k = Kernels(**arrays, owner=kernels.owner, names=kernels.names)
        pes = hardware["pes"].astype(float)[None, :]
        engine = dataflow.Engine(
            np.maximum(pes, 1.0),
            hardware["noc_gb_per_s"][None, :] * 1e9 / t.frequency_hz,
            t.memory_gb_per_s * 1e9 / t.frequency_hz,
            1024.0 * hardware["buffer_kb"][None, :],
        )
        layer, plain = conv_of(k), k.kind == ELEMENTWISE
        moved = k.inputs + k.outputs
        cycles = np.zeros((len(kernels), pes.shape[1]))
        energy = np.zeros_like(cycles)
        for template in dataflow.TEMPLATES:
            here = np.flatnonzero(hardware["template"] == template)
            if not len(here):
                continue
            part = dataflow.Engine(*(v[:, here] if np.ndim(v) else v for v in engine))
            run = dataflow.run(layer, template, part)
            outside = np.where(plain, moved, run.memory_accesses)
            inside = np.where(plain, 2 * moved, run.l2_accesses)
            macs = np.where(plain, 0.0, k.macs)
            cycles[:, here] = np.where(plain, moved / part.memory_per_cycle, run.cycles)
            energy[:, here] = macs * (t.mac_pj + 3 * t.register_pj) + inside * t.buffer_pj + outside * t.dram_pj
        absent = pes == 0
        return np.where(absent, np.inf, 1e3 * cycles / t.frequency_hz), np.where(absent, np.inf, 1e-9 * energy)

    def schedule(self, codes: np.ndarray) -> Schedule:
        """Heuristic schedules of all designs; milliseconds and millijoules."""
        times, energies = self.layer_costs(codes)
        with np.errstate(invalid="ignore"):
            return list_schedule(times, energies, self.latency_limit_ms)


_SKIP = ("owner", "names")
