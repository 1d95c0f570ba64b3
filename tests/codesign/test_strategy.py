import numpy as np
import pytest

from archwright.codesign import Accelerator, CoDesign, JointAccuracy, JointEvolution, codesign_space
from archwright.codesign.parts import PartModel
from archwright.codesign.strategy import _parts
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.search.trial import Candidate, Trial
from archwright.space import oneof
from archwright.spaces.nasbench201 import nasbench201

TASKS = {t: nasbench201((3, 8, 8), channels=(4, 8, 16), cells=1) for t in ("a", "b")}
SPACE = codesign_space(TASKS, (Accelerator(), Accelerator(pes=oneof(0, 128))), total_pes=1024)
ACCURACY = {
    "a": lambda codes: 50.0 + codes.sum(axis=1),
    "b": lambda codes: 60.0 + (codes == 3).sum(axis=1),
}


def problem(energy=None):
    cost = CoDesign(SPACE, TASKS, dict.fromkeys(TASKS, (3, 8, 8)))
    goals = (Objective("accuracy_percent", "maximize"), Objective("energy_mj", "minimize", at_most=energy))
    return Problem(SPACE, goals, (cost, JointAccuracy(SPACE, TASKS, ACCURACY)))


def test_a_search_is_repeatable_and_never_proposes_a_design_twice():
    first, second = (run(problem(), JointEvolution(problem(), seed=5, population=10), Budget(trials=60)) for _ in "12")
    codes = [[t.candidate.architecture.code.tolist() for t in r.trials] for r in (first, second)]
    assert codes[0] == codes[1]
    assert len({tuple(c) for c in codes[0]}) == 60
    assert SPACE.is_member(np.array(codes[0])).all()


def test_a_resumed_search_goes_on_exactly(tmp_path):
    whole = run(problem(), JointEvolution(problem(), seed=1, population=10), Budget(trials=50))
    run(problem(), JointEvolution(problem(), seed=1, population=10), Budget(trials=30), tmp_path / "r")
    again = run(problem(), JointEvolution(problem(), seed=1, population=10), Budget(trials=50), tmp_path / "r")
    assert [t.metrics for t in again.trials] == [t.metrics for t in whole.trials]


def test_the_first_generation_keeps_the_limits_where_it_can_and_holds_known_networks():
    known = {t: np.array([[1, 1, 1, 1, 1, 1]], dtype=np.int16) for t in TASKS}
    costs = problem().evaluators[0].evaluate(SPACE.sample(60, np.random.default_rng(0)))
    energy = float(np.quantile(costs["energy_mj"], 0.4))
    strategy = JointEvolution(problem(energy), known=known, population=10)
    found = run(problem(energy), strategy, Budget(trials=10)).trials
    assert all(t.metrics["energy_mj"] <= energy for t in found)
    codes = np.stack([t.candidate.architecture.code for t in found])
    nets = [d.index for d in SPACE.decisions if d.path.startswith("tasks.a.")]
    assert (codes[:, nets] == known["a"][0]).all(axis=1).any()


@pytest.mark.slow
def test_it_finds_better_designs_than_random_search_with_as_many_trials():
    better = 0
    for seed in range(3):
        mine = run(problem(), JointEvolution(problem(), seed=seed, population=20), Budget(trials=200))
        luck = run(problem(), "random", Budget(trials=200), seed=seed)
        point = np.concatenate([mine.losses, luck.losses]).max(axis=0) + 1e-3
        volumes = [r.hypervolume_history(point)[-1] for r in (mine, luck)]
        better += volumes[0] > volumes[1]
    assert better == 3


def trial(number, codes, metrics):
    return Trial(number, Candidate(SPACE.architectures(codes[None])[0]), "complete", metrics)


def test_the_model_of_parts_joins_the_best_networks_of_different_designs_by_hand():
    model = PartModel(problem(), _parts(SPACE))
    code = SPACE.sample(1, np.random.default_rng(0)).codes[0]
    a, b = ([d.index for d in SPACE.decisions if d.path.startswith(f"tasks.{t}.")] for t in TASKS)
    low, high = code.copy(), code.copy()
    low[a], low[b], high[a], high[b] = 1, 1, 2, 2

    # network a: 2 is more accurate at equal energy; network b: 1 is more accurate and cheaper
    def told(one, two, e1, e2):
        return {"a_accuracy_percent": one, "b_accuracy_percent": two, "a_energy_mj": e1, "b_energy_mj": e2}

    model.add([trial(0, low, told(50.0, 80.0, 1.0, 1.0)), trial(1, high, told(60.0, 70.0, 1.0, 3.0))])
    hardware = [d.index for d in SPACE.decisions if d.path.startswith("accelerators")]
    proposals = model.propose(code[hardware], 4, np.random.default_rng(0), new=False)
    assert proposals
    for p in proposals:  # the only combination that none dominates
        assert (p["a"] == 2).all() and (p["b"] == 1).all()


def test_energies_are_split_into_networks_and_machines():
    model = PartModel(problem(), _parts(SPACE))
    designs = SPACE.sample(40, np.random.default_rng(3)).codes
    hardware = [d.index for d in SPACE.decisions if d.path.startswith("accelerators")]
    nets = [d.index for d in SPACE.decisions if d.path.startswith("tasks.a.")]
    rng, trials = np.random.default_rng(4), []
    for i in range(200):
        code = designs[rng.integers(40)].copy()
        code[hardware] = designs[rng.integers(5)][hardware]
        energy = (1 + code[nets].sum()) * (1 + code[hardware].sum())  # a factor of each
        trials.append(trial(i, code, {"a_energy_mj": float(energy)}))
    model.add(trials)
    net, machine = model._fit("a", "energy_mj")
    for t in trials[:50]:
        code = np.asarray(t.candidate.architecture.code)
        k, m = model._seen["a"][code[nets].tobytes()], model._machines[code[hardware].tobytes()]
        assert np.exp(net[k] + machine[m]) == pytest.approx(t.metrics["a_energy_mj"], rel=0.05)


def test_networks_beside_the_best_are_predicted_before_they_are_seen():
    model = PartModel(problem(), _parts(SPACE))
    codes = SPACE.sample(120, np.random.default_rng(5)).codes.copy()
    hardware = [d.index for d in SPACE.decisions if d.path.startswith("accelerators")]
    parts = {t: [d.index for d in SPACE.decisions if d.path.startswith(f"tasks.{t}.")] for t in TASKS}
    codes[:, hardware] = codes[0, hardware]

    def accuracy(own):
        return 40.0 + 3.0 * own.sum(axis=-1)

    def energy(own):
        return 1.0 + 0.1 * (own == 3).sum(axis=-1) + 0.2 * (own == 2).sum(axis=-1)

    columns = [
        {f"{t}_accuracy_percent": float(accuracy(c[d])) for t, d in parts.items()}
        | {f"{t}_energy_mj": float(energy(c[d])) for t, d in parts.items()}
        for c in codes
    ]
    model.add([trial(i, c, m) for i, (c, m) in enumerate(zip(codes, columns, strict=True))])
    kept = np.arange(len(model._seen["a"]))
    fresh, losses = model._around("a", kept, 0, np.random.default_rng(6))
    assert len(fresh) > 20
    assert not any(c.tobytes() in model._seen["a"] for c in fresh)
    for sign_and_truth, predicted in zip((-accuracy(fresh), energy(fresh)), losses.T, strict=True):
        assert np.median(np.abs(predicted / sign_and_truth - 1)) < 0.05
        assert np.corrcoef(predicted, sign_and_truth)[0, 1] > 0.9
    proposals = model.propose(codes[0, hardware], 12, np.random.default_rng(7), new=True)
    for task in TASKS:  # every network is new and tried once
        tried = [p[task].tobytes() for p in proposals]
        assert len(tried) > 3
        assert len(set(tried)) == len(tried)
        assert not set(tried) & set(model._seen[task])
    predicted = model.total("accuracy_percent", np.stack([codes[0], codes[1]]))
    assert predicted == pytest.approx([sum(accuracy(c[d]) for d in parts.values()) for c in codes[:2]])
