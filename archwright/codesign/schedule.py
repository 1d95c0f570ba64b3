"""Which layer runs where and when: several networks, each a chain of layers, on several sub-accelerators.

`list_schedule` is a heuristic over whole batches of designs: the network that is ready first places its next layer
where the finish time plus a weight on energy is least (earliest finish time, after HEFT, Topcuoglu et al., 2002).
Among a few weights it keeps the least energy that meets the latency limit (the mapping step of NASAIC, Yang et al.,
DAC 2020, section 3.3, does the same greedily). `exact_schedule` solves one small case with CP-SAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archwright.errors import ConfigurationError, require

WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0)  # how much of a layer's time its relative energy may cost


class Schedule(NamedTuple):
    """Makespan and energy of each design, and where each layer runs: (n, networks, layers) int8, -1 = no layer."""

    makespan: np.ndarray
    energy: np.ndarray
    placed: np.ndarray


def list_schedule(
    times: np.ndarray, energies: np.ndarray, limit: float | np.ndarray = np.inf, weights: Sequence[float] = WEIGHTS
) -> Schedule:
    """Heuristic schedules of n designs.

    Args:
        times: (n, networks, layers, accelerators), NaN where a chain has no such layer; layers of a chain in order.
        energies: of the same shape.
        limit: on the makespan, a number or (n,).
        weights: tried; the least energy within the limit wins, else the least makespan.
    """
    layers = times.shape[2]
    order = np.argsort(np.isnan(times[..., 0]), axis=2, kind="stable")  # layers that exist first, in their order
    longest = int((~np.isnan(times[..., 0])).sum(axis=2).max(initial=1))
    order = order[:, :, : max(longest, 1)]
    times, energies = (np.take_along_axis(v, order[..., None], axis=2) for v in (times, energies))
    if not len(weights):
        raise ConfigurationError("a schedule needs at least one weight to try")
    n, tried = len(times), len(weights)
    all_ = _one(np.tile(times, (tried, 1, 1, 1)), np.tile(energies, (tried, 1, 1, 1)), np.repeat(weights, n))
    makespan, energy = all_.makespan.reshape(tried, n), all_.energy.reshape(tried, n)
    within = makespan <= limit
    rank = np.where(within, energy, np.inf)
    best = np.where(within.any(axis=0), np.argmin(rank, axis=0), np.argmin(makespan, axis=0))
    rows = best * n + np.arange(n)
    placed = np.full((n, times.shape[1], layers), -1, dtype=np.int8)
    np.put_along_axis(placed, order, all_.placed[rows], axis=2)
    return Schedule(all_.makespan[rows], all_.energy[rows], placed)


def _one(times: np.ndarray, energies: np.ndarray, weight: np.ndarray) -> Schedule:
    """One pass over all designs, each with its own weight (n,)."""
    n, networks, layers, accelerators = times.shape
    rows = np.arange(n)
    ready, free = np.zeros((n, networks)), np.zeros((n, accelerators))
    following = np.zeros((n, networks), dtype=np.int64)
    placed = np.full((n, networks, layers), -1, dtype=np.int8)
    energy = np.zeros(n)
    there = ~np.isnan(times[..., 0])
    last = np.where(there.any(axis=2), layers - np.argmax(there[:, :, ::-1], axis=2), 0)  # layers up to the last one
    for _ in range(int(last.sum(axis=1).max(initial=0))):
        left = following < last
        who = np.argmin(np.where(left, ready, np.inf), axis=1)
        active = left.any(axis=1)
        at = np.minimum(following[rows, who], layers - 1)
        time, cost = times[rows, who, at], energies[rows, who, at]
        real = active & ~np.isnan(time[:, 0])
        time, cost = np.where(real[:, None], time, 0.0), np.where(real[:, None], cost, 0.0)
        start = np.maximum(free, ready[rows, who][:, None])
        least = np.maximum(cost.min(axis=1, keepdims=True), 1e-300)
        excess = np.where(np.isfinite(cost), cost / least - 1, 0.0)  # an absent accelerator is out by its time
        score = start + time + weight[:, None] * time.min(axis=1, keepdims=True) * excess
        where = np.argmin(score, axis=1)
        finish = start[rows, where] + time[rows, where]
        free[rows[real], where[real]] = finish[real]
        ready[rows[real], who[real]] = finish[real]
        placed[rows[real], who[real], at[real]] = where[real]
        energy += np.where(real, cost[rows, where], 0.0)
        following[rows[active], who[active]] += 1
    return Schedule(ready.max(axis=1), energy, placed)


def exact_schedule(
    times: np.ndarray, energies: np.ndarray, *, energy_limit: float = np.inf, seconds: float = 20.0, steps: int = 10_000
) -> tuple[Schedule, bool]:
    """The least makespan of one design within an energy limit, by CP-SAT; small cases only.

    Args:
        times: (networks, layers, accelerators), NaN where there is no layer.
        energies: of the same shape.
        energy_limit: on the sum.
        seconds: of search.
        steps: the shortest makespan bound is divided into so many integer steps, which is the precision.

    Returns:
        the schedule (n = 1), and whether it is proven optimal up to that precision.

    Raises:
        ConfigurationError: if no schedule keeps the energy limit.
    """
    require("ortools", extra="exact", feature="exact scheduling")
    from ortools.sat.python import cp_model

    networks, layers, accelerators = times.shape
    there = ~np.isnan(times[..., 0])
    scale = steps / max(float(times[there].min(axis=-1).sum()), 1e-300)
    model = cp_model.CpModel()
    horizon = int(np.ceil(times[there].max(axis=-1).sum() * scale)) + networks * layers
    on: dict[tuple[int, int, int], cp_model.IntVar] = {}
    machines: list[list[cp_model.IntervalVar]] = [[] for _ in range(accelerators)]
    makespan = model.new_int_var(0, horizon, "makespan")
    for k in range(networks):
        before = None
        for i in range(layers):
            if np.isnan(times[k, i, 0]):
                continue
            start, end = model.new_int_var(0, horizon, ""), model.new_int_var(0, horizon, "")
            for a in range(accelerators):
                on[k, i, a] = model.new_bool_var("")
                size = int(np.ceil(times[k, i, a] * scale))
                machines[a].append(model.new_optional_interval_var(start, size, end, on[k, i, a], ""))
            model.add_exactly_one(on[k, i, a] for a in range(accelerators))
            if before is not None:
                model.add(start >= before)
            before = end
        if before is not None:
            model.add(makespan >= before)
    for intervals in machines:
        model.add_no_overlap(intervals)
    if np.isfinite(energy_limit):
        unit = 1e6 / max(energy_limit, 1e-300)
        model.add(sum(round(energies[key] * unit) * v for key, v in on.items()) <= 1_000_000)
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise ConfigurationError(f"no schedule within the energy limit {energy_limit:g} was found; allow more")
    placed = np.full((1, networks, layers), -1, dtype=np.int8)
    for (k, i, a), variable in on.items():
        if solver.value(variable):
            placed[0, k, i] = a
    energy = sum(float(energies[k, i, placed[0, k, i]]) for k, i, a in on if a == 0)
    found = Schedule(np.array([solver.value(makespan) / scale]), np.array([energy]), placed)
    return found, status == cp_model.OPTIMAL
