import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.errors import ConfigurationError
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet
from archwright.nets.active import ActiveUpdate
from archwright.nets.checkpoint import TrainState
from archwright.nets.progressive import PHASES, Phase, role_of, shrink_progressively, space_of
from archwright.nets.recipe import Recipe
from archwright.nets.train import Pace, evaluate
from archwright.nets.train_supernet import Sandwich, train_supernet
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof, repeat

torch.set_num_threads(1)


def small_space(dropout=0.0):
    return Space(
        Sequential(
            (
                Conv(oneof(4, 8), stride=2),
                oneof(Conv(8, kernel=3), MBConv(oneof(8, 12), kernel=oneof(3, 5), expand=2)),
                repeat(
                    MBConv(oneof(8, 12, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3)), times=oneof(0, 1, 2)
                ),
                Classifier(10, dropout=dropout),
            )
        )
    )


def supernet_of(space, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Supernet(space, (1, 8, 8))


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


def straight_net(supernet, task):
    return InheritedEvaluator(supernet, task).network(supernet.space.largest())


def weights(net):
    return torch.cat([v.detach().double().flatten() for v in net.state_dict().values()])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_took_no_part_is_not_moved_by_decay_or_momentum(digits, optimizer):
    supernet = supernet_of(small_space())
    recipe = Recipe(optimizer=optimizer, lr=0.05, weight_decay=0.5)
    update, step = recipe.optimizer_for(supernet), ActiveUpdate(supernet)
    rng = np.random.default_rng(0)
    draws = supernet.space.sample(8, rng)
    moved = partial = 0
    for i in range(8):  # the first steps fill the momenta
        supernet.reset_active()
        update.zero_grad(set_to_none=True)
        digits.loss(supernet(digits.train.x[:32], draws[i]), digits.train.y[:32]).backward()
        active = supernet.active_since_reset()
        before = {p: p.detach().clone() for p in supernet.parameters()}
        moments = {p: {k: v.clone() for k, v in update.state[p].items()} for p in supernet.parameters()}
        step(update)
        for p in supernet.parameters():
            mask = active.get(p, torch.zeros_like(p, dtype=torch.bool))
            idle = torch.zeros_like(p, dtype=torch.bool) if mask is None else ~mask
            partial += bool(idle.any() and not idle.all())
            assert torch.equal(p.detach()[idle], before[p][idle])
            moved += int((p.detach() != before[p])[~idle].any())
            for name, value in update.state[p].items():
                if value.shape == p.shape and name in moments[p]:
                    assert torch.equal(value[idle], moments[p][name][idle])
    assert moved > 40 and partial > 20


@pytest.mark.parametrize("method", ["sandwich", "single_path"])
def test_a_supernet_learns_and_resumes_exactly(digits, method, tmp_path):
    recipe = Recipe(epochs=5, lr=0.02)
    whole, parted = supernet_of(small_space(0.1)), supernet_of(small_space(0.1))
    straight = train_supernet(whole, digits, recipe, method=method)
    train_supernet(parted, digits, recipe, method=method, epochs=1).state.save(tmp_path / "s")
    fresh = supernet_of(small_space(0.1), seed=7)
    train_supernet(fresh, digits, recipe, method=method, state=TrainState.load(tmp_path / "s"))
    assert torch.equal(weights(whole), weights(fresh))
    assert straight.history[-1]["loss"] < 0.99 * straight.history[0]["loss"]
    assert evaluate(straight_net(whole, digits), digits)["accuracy_percent"] > 30


def test_the_teacher_gets_no_gradient_from_its_students(digits):
    supernet = supernet_of(small_space())
    x, y = digits.train.x[:32], digits.train.y[:32]

    def gradient(nets):
        step = Sandwich(supernet, digits, Recipe(), random_nets=0)
        step.smallest = step.largest if nets == "twice the largest" else step.smallest
        supernet.zero_grad(set_to_none=True)
        supernet.train()
        step(x, y, np.random.default_rng(0))
        return [p.grad.clone() for p in supernet.parameters() if p.grad is not None]

    # A student equal to its teacher has zero distillation gradient: softmax(student) - softmax(teacher) = 0.
    twice = gradient("twice the largest")
    supernet.zero_grad(set_to_none=True)
    digits.loss(supernet(x, supernet.space.largest()), y).backward()
    alone = [p.grad for p in supernet.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(twice, alone, strict=True))


def test_sandwich_counts_largest_smallest_and_random(digits):
    supernet = supernet_of(small_space())
    seen = []
    forward = supernet.forward

    def watched(x, architecture, indices=None):
        seen.append(architecture.key)
        return forward(x, architecture, indices)

    supernet.forward = watched
    Sandwich(supernet, digits, Recipe(), 2)(digits.train.x[:8], digits.train.y[:8], np.random.default_rng(0))
    assert len(seen) == 4
    assert seen[:2] == [supernet.space.largest().key, supernet.space.smallest().key]


def test_phases_free_kernel_then_depth_then_width():
    space = small_space()
    assert {role_of(d) for d in space.decisions} == {"kernel", "depth", "width", "operator"}
    full, kernel, depth1, depth2, _, width2 = (space_of(space, p) for p in PHASES)
    assert full.sample(200, np.random.default_rng(0)).codes.std(axis=0).max() == 0
    names = [d.label for d in space.decisions]

    def varying(part):
        codes = part.sample(400, np.random.default_rng(0)).codes
        return {role_of(d) for d in space.decisions if len(set(codes[:, d.index].tolist()) - {-1}) > 1}, codes

    assert varying(kernel)[0] == {"kernel", "operator"}
    times = names.index("parts.2.times")
    assert set(varying(depth1)[1][:, times].tolist()) == {1, 2}
    assert set(varying(depth2)[1][:, times].tolist()) == {0, 1, 2}
    assert width2.size() == space.size()


def test_progressive_shrinking_trains_resumes_and_names_its_phases(digits, tmp_path):
    everything = {"kernel": None, "operator": None, "depth": None, "width": None}
    phases = (
        Phase("full", share=1),
        Phase("kernel", {"kernel": None, "operator": None}, share=1, rate=0.5),
        Phase("all", everything, share=1, nets=2),
    )
    recipe = Recipe(epochs=6, lr=0.01)
    whole = supernet_of(small_space())
    straight = shrink_progressively(whole, digits, recipe, phases=phases)
    assert [r["phase"] for r in straight.history] == ["full"] * 2 + ["kernel"] * 2 + ["all"] * 2
    parted, saved = supernet_of(small_space()), []

    def stop(record, state):
        if (record["phase"], record["epoch"]) == ("kernel", 1):
            state().save(tmp_path / "s")
            saved.append(True)
            return True
        return False

    shrink_progressively(parted, digits, recipe, phases=phases, on_epoch=stop)
    fresh = supernet_of(small_space(), seed=9)
    rest = shrink_progressively(fresh, digits, recipe, phases=phases, state=TrainState.load(tmp_path / "s"))
    assert saved and torch.equal(weights(whole), weights(fresh))
    assert [r["loss"] for r in rest.history] == [r["loss"] for r in straight.history]


@pytest.mark.parametrize("planned", [2, 9])
def test_a_schedule_becomes_as_long_as_the_time_that_is_left_and_resumes_so(digits, planned):
    recipe, part, asked = Recipe(epochs=planned), digits.train.take(192, np.random.default_rng(0)), []

    def left():
        asked.append(1)
        return 1e9 if len(asked) < 3 else 0.0  # after the third epoch nothing is left

    settings = {"method": "single_path", "split": part}
    first = train_supernet(supernet_of(small_space()), digits, recipe, pace=Pace(left, 12), **settings)
    assert [r["epoch"] for r in first.history] == [1, 2, 3, 4], "one last epoch, in which the rate falls to the end"
    assert first.history[-1]["lr"] < 0.3 * recipe.lr < first.history[0]["lr"]

    begun = train_supernet(
        supernet_of(small_space()), digits, recipe, pace=Pace(lambda: 0.0, 12), on_epoch=lambda record, state: True,
        **settings,
    )  # fmt: skip
    again = train_supernet(supernet_of(small_space()), digits, recipe, state=begun.state, **settings)
    assert [r["epoch"] for r in again.history] == [1, 2]


def test_an_unknown_method_is_named(digits):
    with pytest.raises(ConfigurationError, match="did you mean 'sandwich'"):
        train_supernet(supernet_of(small_space()), digits, method="sandwhich")


def test_paths_are_drawn_from_the_given_architectures_only(digits):
    space = small_space()
    supernet, among = supernet_of(space), space.sample(2, np.random.default_rng(3))
    seen = []
    forward = supernet.forward
    supernet.forward = lambda x, a: (seen.append(a.code.tolist()), forward(x, a))[1]
    train_supernet(supernet, digits, Recipe(epochs=1), method="single_path", among=among)
    assert len(seen) > 10 and {tuple(c) for c in seen} == {tuple(c) for c in among.codes.tolist()}


def test_only_single_paths_are_drawn_from_given_architectures(digits):
    space = small_space()
    with pytest.raises(ConfigurationError, match="single_path"):
        train_supernet(supernet_of(space), digits, among=space.sample(2, np.random.default_rng(3)))


@pytest.mark.slow
def test_sandwich_keeps_up_with_single_paths_with_a_quarter_of_the_steps(digits):
    """Equal numbers of forward and backward passes, three seeds.

    BigNAS (Yu et al., 2020) finds the smallest network better under the sandwich rule. Here it was better in two seeds
    of three (90.2 against 89.1 percent on average), and with a third of these steps it was worse in all three.
    """
    accuracy: dict[str, list[float]] = {"sandwich": [], "single_path": []}
    for seed in range(3):
        for method, epochs in (("sandwich", 60), ("single_path", 240)):
            supernet = supernet_of(small_space(), seed)
            train_supernet(supernet, digits, Recipe(epochs=epochs, lr=0.03), method=method, seed=seed)
            smallest = InheritedEvaluator(supernet, digits).network(supernet.space.smallest())
            accuracy[method].append(evaluate(smallest, digits)["accuracy_percent"])
    assert min(accuracy["sandwich"]) > 85
    assert np.mean(accuracy["sandwich"]) > np.mean(accuracy["single_path"]) - 2
