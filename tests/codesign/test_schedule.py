import numpy as np
import pytest

from archwright.codesign.schedule import exact_schedule, list_schedule
from archwright.errors import ConfigurationError


def random_case(rng, networks=2, layers=4, accelerators=2):
    times = rng.integers(1, 20, (networks, layers, accelerators)).astype(float)
    energies = rng.integers(1, 20, times.shape).astype(float)
    times[-1, -1] = np.nan  # the last network is one layer shorter
    energies[-1, -1] = np.nan
    return times, energies


def replay(times, placed):
    """Makespan if every layer starts as early as its chain and its accelerator allow, in the order of readiness."""
    networks, layers, accelerators = times.shape
    ready, free, at = np.zeros(networks), np.zeros(accelerators), np.zeros(networks, dtype=int)
    total = int((placed >= 0).sum())
    for _ in range(total):
        open_ = [k for k in range(networks) if at[k] < layers and placed[k, at[k]] >= 0]
        k = min(open_, key=lambda k: (ready[k], k))
        a = placed[k, at[k]]
        ready[k] = free[a] = max(ready[k], free[a]) + times[k, at[k], a]
        at[k] += 1
    return ready.max()


def test_two_chains_on_two_accelerators_by_hand():
    # each network is quick on its own accelerator: both run at once, 2 + 3 against 4 + 1
    times = np.array([[[2.0, 9.0], [3.0, 9.0]], [[9.0, 4.0], [9.0, 1.0]]])
    got = list_schedule(times[None], np.ones_like(times)[None])
    assert got.makespan[0] == 5
    assert got.placed[0].tolist() == [[0, 0], [1, 1]]
    assert got.energy[0] == 4


def test_a_single_chain_takes_the_sum_of_its_quickest_layers():
    times = np.array([[[2.0, 1.0], [3.0, 5.0], [1.0, 4.0]]])
    assert list_schedule(times[None], np.ones((1, 1, 3, 2))).makespan[0] == 1 + 3 + 1


def test_missing_layers_are_skipped_wherever_they_stand():
    times = np.array([[[2.0, 3.0], [np.nan, np.nan], [4.0, 9.0]]])
    got = list_schedule(times[None], np.where(np.isnan(times), np.nan, 1.0)[None])
    assert got.makespan[0] == 6
    assert got.placed[0].tolist() == [[0, -1, 0]]


def test_a_loose_limit_buys_less_energy_and_a_tight_one_less_time():
    times, energies = np.array([[[1.0, 1.2], [1.0, 1.2]]]), np.array([[[10.0, 2.0], [10.0, 2.0]]])
    loose, tight = (list_schedule(times[None], energies[None], limit) for limit in (10.0, 2.0))
    assert loose.energy[0] == 4
    assert tight.makespan[0] == 2


def test_reported_makespans_are_those_of_the_placement():
    rng = np.random.default_rng(0)
    cases = [random_case(rng, 3, 6, 2) for _ in range(20)]
    got = list_schedule(np.stack([t for t, _ in cases]), np.stack([e for _, e in cases]))
    for i, (times, energies) in enumerate(cases):
        assert got.makespan[i] == pytest.approx(replay(times, got.placed[i]))
        k, at = np.nonzero(got.placed[i] >= 0)
        assert got.energy[i] == pytest.approx(energies[k, at, got.placed[i][k, at]].sum())


def test_a_batch_equals_its_members():
    rng = np.random.default_rng(1)
    cases = [random_case(rng, 2, 5, 3) for _ in range(8)]
    together = list_schedule(np.stack([t for t, _ in cases]), np.stack([e for _, e in cases]), 25.0)
    for i, (times, energies) in enumerate(cases):
        alone = list_schedule(times[None], energies[None], 25.0)
        assert alone.makespan[0] == together.makespan[i]
        assert np.array_equal(alone.placed[0], together.placed[i])


def test_the_exact_scheduler_is_never_beaten_and_the_heuristic_stays_close():
    pytest.importorskip("ortools")
    rng = np.random.default_rng(2)
    gaps = []
    for _ in range(12):
        times, energies = random_case(rng)
        exact, proven = exact_schedule(times, energies, seconds=5.0)
        heuristic = list_schedule(times[None], energies[None], weights=(0.0,))
        assert proven
        assert exact.makespan[0] <= heuristic.makespan[0] + 0.02
        gaps.append(heuristic.makespan[0] / exact.makespan[0] - 1)
    assert np.mean(gaps) < 0.25


def test_an_energy_limit_changes_the_exact_schedule_or_is_refused():
    pytest.importorskip("ortools")
    times, energies = np.array([[[1.0, 2.0], [1.0, 2.0]]]), np.array([[[5.0, 1.0], [5.0, 1.0]]])
    free, _ = exact_schedule(times, energies)
    frugal, _ = exact_schedule(times, energies, energy_limit=6.0)
    assert (free.makespan[0], frugal.makespan[0]) == (pytest.approx(2.0, abs=0.01), pytest.approx(3.0, abs=0.01))
    assert frugal.energy[0] == 6
    with pytest.raises(ConfigurationError, match="energy limit"):
        exact_schedule(times, energies, energy_limit=1.0)
