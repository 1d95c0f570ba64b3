import numpy as np
import pytest

from archwright.codesign import Accelerator, CoDesign, JointAccuracy, codesign_space
from archwright.codesign.joint import network_codes
from archwright.errors import ConfigurationError
from archwright.space import oneof
from archwright.spaces.nasbench201 import nasbench201

TASKS = {
    "a": nasbench201((3, 16, 16), channels=(8, 16, 32), cells=1),
    "b": nasbench201((3, 8, 8), channels=(8, 16, 32), cells=1),
}
SHAPES = {"a": (3, 16, 16), "b": (3, 8, 8)}
ACCURACY = {name: (lambda codes: 50.0 + codes.sum(axis=1)) for name in TASKS}
SPACE = codesign_space(TASKS, (Accelerator(), Accelerator()), total_pes=2048, total_noc_gb_per_s=48)


def evaluator(**limits):
    return CoDesign(SPACE, TASKS, SHAPES, **limits)


def sample(n, seed=0):
    return SPACE.sample(n, np.random.default_rng(seed))


def test_joint_limits_hold_in_every_sample_and_some_accelerator_is_used():
    for arch in sample(50):
        used = [a for a in arch.tree["accelerators"] if a.pes]
        assert used
        assert sum(a.pes for a in used) <= 2048
        assert sum(a.noc_gb_per_s for a in used) <= 48


def test_a_batch_equals_its_members():
    archs, cost = sample(12), evaluator()
    together = cost.evaluate(archs)
    for i in range(len(archs)):
        alone = cost.evaluate(np.asarray(archs[i].code)[None])
        for metric in cost.metrics:
            assert alone[metric][0] == pytest.approx(together[metric][i])


def test_networks_read_their_own_decisions():
    codes = sample(20).codes
    for name in TASKS:
        own = network_codes(SPACE, TASKS, codes, name)
        assert own.shape == (20, 6)
        assert TASKS[name].is_member(own).all()
    assert not np.array_equal(*(network_codes(SPACE, TASKS, codes, name) for name in TASKS))


def test_one_accelerator_alone_costs_the_sum_of_its_layers():
    part = Accelerator(template="nvdla", pes=oneof(256, 512), noc_gb_per_s=16, buffer_kb=64)
    tasks = {"a": TASKS["a"]}
    space = codesign_space(tasks, (part,))
    cost = CoDesign(space, tasks, {"a": SHAPES["a"]})
    codes = space.sample(6, np.random.default_rng(0)).codes
    times, energies = cost.layer_costs(codes)
    found = cost.evaluate(codes)
    assert np.allclose(found["latency_ms"], np.nansum(times, axis=(1, 2, 3)))
    assert np.allclose(found["energy_mj"], np.nansum(energies, axis=(1, 2, 3)))


def test_a_second_accelerator_never_makes_the_best_makespan_longer():
    cost = evaluator()
    codes = sample(30, seed=3).codes
    times, energies = cost.layer_costs(codes)
    from archwright.codesign import list_schedule

    both = list_schedule(times, energies, weights=(0.0,)).makespan
    alone = [
        np.where(np.isinf(times[..., a]).any(axis=(1, 2)), np.inf, np.nansum(times[..., a], axis=(1, 2)))
        for a in (0, 1)
    ]
    assert (both <= np.minimum(*alone) * (1 + 1e-9)).mean() > 0.9


def test_hopeless_hardware_is_pruned_and_infeasible():
    cost = evaluator(area_limit_mm2=0.4)
    found = cost.evaluate(sample(60))
    large = found["area_mm2"] > 0.4
    assert large.any()
    assert np.isinf(found["latency_ms"][large]).all()
    assert cost.pruned >= large.sum()
    assert np.isfinite(found["latency_ms"][~large]).all()


def test_pruning_by_the_peak_rate_never_drops_a_design_that_meets_the_limit():
    free = evaluator().evaluate(sample(60))
    limit = float(np.median(free["latency_ms"]))
    limited = evaluator(latency_limit_ms=limit).evaluate(sample(60))
    assert (np.isfinite(limited["latency_ms"]) | (free["latency_ms"] > limit)).all()


def test_a_search_finds_designs_within_the_specs():
    from archwright.search.problem import Objective, Problem
    from archwright.search.run import run

    cost = evaluator(area_limit_mm2=0.6)
    problem = Problem(
        SPACE,
        (Objective("accuracy_percent", "maximize"), Objective("latency_ms", "limit", at_most=0.4),
         Objective("area_mm2", "limit", at_most=0.6)),
        (cost, JointAccuracy(SPACE, TASKS, ACCURACY)),
    )  # fmt: skip
    from archwright.search.run import Budget

    result = run(problem, "random", Budget(trials=60), seed=0)
    good = [t for t in result.trials if t.state == "complete"]
    assert good
    assert all(t.metrics["latency_ms"] <= 0.4 and t.metrics["area_mm2"] <= 0.6 for t in good)


def test_mistakes_are_named():
    with pytest.raises(ConfigurationError, match="at least one task"):
        codesign_space({}, (Accelerator(),))
    with pytest.raises(ConfigurationError, match="total_pes"):
        codesign_space(TASKS, (Accelerator(),), total_area=3)
    with pytest.raises(ConfigurationError, match="needs an input shape"):
        CoDesign(SPACE, TASKS, {"a": (3, 16, 16)})
    with pytest.raises(ConfigurationError, match="needs an accuracy function"):
        JointAccuracy(SPACE, TASKS, {"a": ACCURACY["a"]})
