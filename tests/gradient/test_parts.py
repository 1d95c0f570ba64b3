"""Relaxations, updates, penalties and selections against formulas and small models with known answers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from archwright import registry
from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.core import Core, frozen
from archwright.gradient.method import Training
from archwright.gradient.mixings.entangled import EntangledWeights
from archwright.gradient.mixings.partial_channels import Partial
from archwright.gradient.penalties.cost import Budget, ExpectedCost
from archwright.gradient.penalties.limit import Limit
from archwright.gradient.penalties.regularisers import DirichletAnchor, Entropy, ZeroOne
from archwright.gradient.penalties.self_distillation import SelfDistillation
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.base import Draw
from archwright.gradient.relaxations.binary_path import BinaryPath
from archwright.gradient.relaxations.dirichlet import Dirichlet, concentrations
from archwright.gradient.relaxations.gumbel import Gumbel
from archwright.gradient.relaxations.gumbel_hard import GumbelHard
from archwright.gradient.relaxations.max_w import MaxW
from archwright.gradient.relaxations.reinforce import Reinforce
from archwright.gradient.relaxations.single_stage import SingleStage
from archwright.gradient.relaxations.softmax import Softmax
from archwright.gradient.schedules import cosine_power
from archwright.gradient.selections.coarse_to_fine import CoarseToFine, grid
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.edges import edge_groups, skip_share
from archwright.gradient.selections.progressive import Progressive
from archwright.gradient.step import Stepper
from archwright.gradient.updates.first_order import FirstOrder
from archwright.gradient.updates.rarts import RARTS
from archwright.gradient.updates.second_order import SecondOrder


def draw(seed=0, **given):
    return Draw(torch.Generator().manual_seed(seed), **given)


ALPHA = {"a": torch.tensor([0.2, -0.3, 1.0]), "b": torch.tensor([0.0, 0.5])}


@pytest.mark.parametrize("name", registry.names("relaxations"))
def test_weights_are_reproducible_and_chances_sum_to_one(name):
    relaxation = registry.get("relaxations", name)()
    parameters = {k: v.clone().requires_grad_(relaxation.learned) for k, v in ALPHA.items()}
    first, second = (relaxation.weights(parameters, draw(7)) for _ in range(2))
    for path, p in parameters.items():
        assert torch.equal(first.values[path], second.values[path])
        assert relaxation.probabilities(p).sum().item() == pytest.approx(1.0)
    if relaxation.one_path:
        assert all(len(options) == 1 for options in first.active.values())


@pytest.mark.parametrize("name", registry.names("relaxations"))
def test_removed_options_get_no_weight(name):
    relaxation = registry.get("relaxations", name)()
    parameters = {k: v.clone().requires_grad_() for k, v in ALPHA.items()}
    blocked = {"a": torch.tensor([False, False, True])}
    for seed in range(10):
        found = relaxation.weights(parameters, draw(seed, blocked=blocked))
        assert found.values["a"][2].item() == 0.0
        assert 2 not in found.active.get("a", ())
    assert relaxation.probabilities(parameters["a"], blocked["a"])[2].item() == 0.0


@pytest.mark.parametrize("relaxation", [GumbelHard(1.0, 1.0), BinaryPath(), Reinforce(), Gumbel(1.0, 1.0)], ids=str)
def test_options_are_drawn_as_often_as_their_softmax_says(relaxation):
    counts = torch.zeros(3)
    for seed in range(3000):
        given = relaxation.weights(ALPHA, draw(seed, phase="weights"))
        counts[int(given.values["a"].argmax())] += 1
    expected = ALPHA["a"].softmax(0)
    assert torch.allclose(counts / 3000, expected, atol=4 * math.sqrt(0.25 / 3000))


def test_max_w_gives_the_largest_weight_exactly_one():
    weights = MaxW().weights(ALPHA, draw()).values["a"]
    soft = ALPHA["a"].softmax(0)
    assert weights.max().item() == 1.0
    assert torch.allclose(weights, 1 - soft.max() + soft)


def test_binary_gates_have_the_published_gradient():
    alpha = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    given = BinaryPath().weights({"a": alpha}, draw(3, phase="architecture"))
    pair = sorted({*given.active["a"], *given.probed["a"]})
    assert len(pair) == 2
    to_gates = torch.tensor([2.0, -1.0, 0.5])
    (got,) = torch.autograd.grad((given.values["a"] * to_gates).sum(), alpha)
    p = alpha.detach()[pair].softmax(0)
    want = torch.zeros(3)
    for i, k in enumerate(pair):
        want[k] = sum(to_gates[pair[j]] * p[j] * (float(i == j) - p[i]) for j in range(2))
    assert torch.allclose(got, want, atol=1e-6)


def test_reinforce_follows_the_gradient_of_the_expected_loss():
    losses = torch.tensor([1.0, 3.0, 2.0])
    alpha = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    total = torch.zeros(3)
    relaxation = Reinforce(decay=1.0)
    relaxation.memory["baseline"] = 2.0
    for seed in range(4000):
        given = relaxation.weights({"a": alpha}, draw(seed))
        surrogate = relaxation.surrogate(losses[given.active["a"][0]].clone(), {"a": alpha})
        total += torch.autograd.grad(surrogate, alpha)[0]
    (want,) = torch.autograd.grad((alpha.softmax(0) * losses).sum(), alpha)
    assert torch.allclose(total / 4000, want, atol=0.05)


def test_dirichlet_samples_have_the_mean_and_the_pathwise_gradient():
    alpha = torch.tensor([0.5, -0.5, 1.0], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    total, mean = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for seed in range(600):
        sample = Dirichlet().weights({"a": alpha}, draw(seed)).values["a"]
        mean += sample.detach()
        total += torch.autograd.grad((sample * value).sum(), alpha)[0]
    expected = concentrations(alpha) / concentrations(alpha).sum()
    assert torch.allclose(mean / 600, expected.detach(), atol=0.05)
    (want,) = torch.autograd.grad((expected * value).sum(), alpha)
    assert torch.allclose(total / 600, want, atol=0.15)


def test_single_stage_ends_without_noise():
    found = {SingleStage().weights(ALPHA, draw(s, progress=0.95)).active["a"] for s in range(20)}
    assert found == {(2,)}
    assert len({SingleStage().weights(ALPHA, draw(s)).active["a"] for s in range(50)}) > 1


def test_cosine_power_matches_its_closed_form():
    for progress in np.linspace(0, 1, 11):
        share = 0.5 * (1 + math.cos(math.pi * progress))
        want = 1e-4 + (0.1 - 1e-4) * (10 ** (share + 1) - 10) / (100 - 10)
        assert cosine_power(progress, 0.1, 1e-4, 10.0) == pytest.approx(want, abs=1e-12)
    assert cosine_power(0.0, 0.1, 1e-4) == pytest.approx(0.1, abs=1e-9)
    assert cosine_power(1.0, 0.1, 1e-4) == pytest.approx(1e-4, abs=1e-9)


class Toy(nn.Module):
    """A supernet of one number w and one architecture parameter a, for updates whose answer is known."""

    def __init__(self, w, a):
        super().__init__()
        self.relaxation = Softmax()
        self.w = nn.Parameter(torch.tensor(float(w), dtype=torch.float64))
        self.alphas = nn.ParameterDict({"a": nn.Parameter(torch.tensor(float(a), dtype=torch.float64))})
        self.betas = nn.ParameterDict()
        self.blocked = {}

    a = property(lambda self: self.alphas["a"])

    def weight_parameters(self):
        return [self.w]

    def architecture_parameters(self):
        return [self.a]

    def alpha(self):
        return {"a": self.a}

    def device(self):
        return torch.device("cpu")

    def weights(self, _):
        return self.a

    def outputs(self, which, a):
        """Validation a w - 2 a + 1, training w^2 - 2 a w + a^2 (Liu et al., 2019, figure 2; Xue et al., 2020)."""
        return a * self.w - 2 * a + 1 if which == "valid" else (self.w - a) ** 2


def toy_stepper(core, rate=0.05):
    def optimizer(parameters):
        return torch.optim.SGD(parameters, rate)

    return Stepper(
        core=core,
        loss=lambda outputs, _: outputs,
        weights=optimizer(core.weight_parameters()),
        architecture=torch.optim.SGD(core.architecture_parameters(), rate),
        clip=0.0,
        make_optimizer=optimizer,
    )


TRAIN, VALID = ("train", torch.zeros(1)), ("valid", torch.zeros(1))


def run_toy(update, steps, rate, weights_rate=None):
    core = Toy(-2.0, 2.0)
    stepper = toy_stepper(core, rate)
    stepper.weights.param_groups[0]["lr"] = weights_rate or rate
    for i in range(steps):
        update.step(stepper, TRAIN, VALID, i)
    return core.w.item(), core.a.item()


def test_second_order_gradient_is_that_of_the_unrolled_loss():
    core = Toy(0.7, 1.3)
    stepper = toy_stepper(core)
    SecondOrder(epsilon=1e-4).architecture_gradient(stepper, TRAIN, VALID)
    w, a = core.w.detach(), core.a.detach().requires_grad_()
    unrolled = w - 0.05 * 2 * (w - a)
    (want,) = torch.autograd.grad(a * unrolled - 2 * a + 1, a)
    assert core.a.grad.item() == pytest.approx(want.item(), rel=1e-6)


def test_on_the_solvable_model_rarts_and_second_order_reach_the_optimum_and_first_order_does_not():
    """The bilevel optimum is w = a = 1; first order ends at (2, 2) (Liu et al., 2019, figure 2)."""
    w, a = run_toy(FirstOrder(), 400, 0.1)
    assert (w, a) == pytest.approx((2.0, 2.0), abs=1e-2)
    w, a = run_toy(SecondOrder(epsilon=1e-4), 300, 0.1, 0.5)  # the unrolled step then is the best response
    assert (w, a) == pytest.approx((1.0, 1.0), abs=1e-2)
    for sequential in (False, True):
        w, a = run_toy(RARTS(10.0, 10.0, sequential), 600, 0.02)
        exact = 2.0 / (2.0 - 1.0 / 20.0 - 1.0 / 10.0)  # stationary point for these strengths, 1 in the limit
        assert a == pytest.approx(exact, abs=1e-2) and abs(a - 1.0) < 0.1


def test_weights_and_architecture_are_frozen_in_turn():
    core = Toy(1.0, 2.0)
    with frozen(core.architecture_parameters()):
        assert not core.a.requires_grad
    assert core.a.requires_grad


def search_of(name, space, task, **changes):
    return GradientSearch(space, task, recipe(name, epochs=2, batch=16, **changes))


def test_the_two_edges_rule(cells, task):
    search = search_of("darts", cells, task)
    with torch.no_grad():
        for p in search.core.alphas.values():
            p.zero_()
            p[0] = 5.0  # none is the strongest everywhere
        strong = {"reduce.3.2": 4, "reduce.3.0": 3}
        for d in search.core.inner.decisions:
            if d.name in strong:
                search.core.alpha()[d.path][strong[d.name]] = 4.0
    chosen = DartsEdges().choose(search)
    options = {d.name: d.options[k] for d, k in zip(cells.decisions, chosen.code, strict=True)}
    assert options["reduce.3.2"] == "sep_conv_3x3" and options["reduce.3.0"] == "skip_connect"
    assert options["reduce.3.1"] == "none"
    for group in edge_groups(cells):
        kept = [chosen.code[d] != n for d, n in zip(group.decisions, group.none, strict=True)]
        assert sum(kept) == 2


def test_edge_weights_decide_between_edges(cells, task):
    search = search_of("pc-darts", cells, task, mixing=Partial(2))
    group = next(g for g in edge_groups(cells) if len(g.decisions) == 3)
    with torch.no_grad():
        for p in search.core.alphas.values():
            p.zero_()
        for name, p in search.core.betas.items():
            p.zero_()
            if p.numel() == 3 and cells.decisions[group.decisions[0]].name in name.replace("%2E", "."):
                p.copy_(torch.tensor([3.0, 0.0, 2.0]))
    chosen = DartsEdges().choose(search)
    kept = [bool(chosen.code[d] != n) for d, n in zip(group.decisions, group.none, strict=True)]
    assert kept == [True, False, True]


def test_skip_share_counts_skips(cells):
    options = {d.name: "skip_connect" for d in cells.decisions}
    assert skip_share(cells, cells.architecture(options).code) == 1.0
    assert skip_share(cells, cells.smallest().code) == 0.0


def test_perturbation_finds_the_planted_option(convs, task):
    """The mixture without the only operator that is not broken loses most."""
    search = search_of("darts-pt", convs, task)
    with torch.no_grad():
        for name, p in search.core.supernet.named_parameters():
            if "parts_1_0" in name or "parts_1_2" in name:
                p.zero_()
    for _ in range(3):
        search.tune(1.0, seed=1)
    with torch.no_grad():
        for name, p in search.core.supernet.named_parameters():
            if "parts_1_0" in name or "parts_1_2" in name:
                p.zero_()
    assert search.method.selection._project(search, 0) == 1


def test_the_found_architecture_keeps_to_the_budget(mlp, features):
    cost = Counts(mlp, features.input_shape)
    every = cost.evaluate(mlp.enumerate())["macs_m"]
    limit = float(np.quantile(every, 0.3))
    budget = Budget(cost, "macs_m", limit, rate=0.5)
    alpha = Training("adam", 0.1, None, weight_decay=0.0, clip=0.0)
    method = recipe("tanglenas", relaxation=Softmax(), epochs=20, batch=16, penalties=(budget,), architecture=alpha)
    search = GradientSearch(mlp, features, method)
    result = search.run(random=0)
    assert float(cost.evaluate(result.architecture.code[None].astype(np.int64))["macs_m"][0]) <= limit
    expected = cost.expected(search.core.probabilities(detach=True))["macs_m"]
    assert expected.item() <= limit * 1.05
    assert search.state().notes["penalties"][0]["multiplier"] == budget.multiplier


def test_an_impossible_budget_says_so(mlp, features):
    budget = Budget(Counts(mlp, features.input_shape), "macs_m", 1e-12)
    search = GradientSearch(mlp, features, recipe("tanglenas", epochs=1, batch=16, penalties=(budget,)))
    with pytest.raises(ConfigurationError, match="budget"):
        search.run(random=0)


@pytest.mark.parametrize("form", ["linear", "fbnet", "power"])
def test_stronger_cost_terms_give_cheaper_architectures(form, mlp, features):
    cost = Counts(mlp, features.input_shape)
    found = []
    for strength in (0.0, 3000.0):
        penalty = ExpectedCost(
            cost, "macs_m", form, strength=max(strength, 1e-6), power=1.0 if strength else 0.0, scale=1e-4
        )
        alpha = Training("adam", 0.05, None, weight_decay=0.0, clip=0.0)
        method = recipe(
            "tanglenas",
            relaxation=Softmax(),
            epochs=6,
            batch=16,
            penalties=(penalty,),
            architecture=alpha,
            augment=False,
        )
        search = GradientSearch(mlp, features, method)
        search.run(random=0)
        found.append(cost.expected(search.core.probabilities(detach=True))["macs_m"].item())
    assert found[1] < found[0]


def test_each_larger_exponent_of_the_fbnet_term_gives_a_cheaper_architecture(mlp, features):
    cost = Counts(mlp, features.input_shape)
    found = []
    for power in (0.0, 0.6, 2.4):
        penalty = ExpectedCost(cost, "macs_m", "fbnet", power=power, scale=1e-6)  # in operations, for the log
        alpha = Training("adam", 0.05, None, weight_decay=0.0, clip=0.0)
        method = recipe("fbnet", epochs=6, batch=16, penalties=(penalty,), architecture=alpha, augment=False)
        search = GradientSearch(mlp, features, method)
        search.run(random=0)
        found.append(cost.expected(search.core.probabilities(detach=True))["macs_m"].item())
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("loss", [2.0, 0.03])
def test_relative_penalties_are_in_units_of_the_loss(mlp, features, loss):
    core = GradientSearch(mlp, features, recipe("tanglenas", batch=16)).core
    cost, context = Counts(mlp, features.input_shape), SimpleNamespace(core=core)
    bound = float(cost.expected(core.probabilities(detach=True))["macs_m"]) / 2.0  # so that the violation is one
    for make in (
        lambda r: Budget(cost, "macs_m", bound, multiplier=0.5, relative=r),
        lambda r: ExpectedCost(cost, "macs_m", "linear", scale=bound, relative=r),
    ):
        start = torch.tensor(loss)
        plain, scaled = (float((make(r).architecture(start, context) - start).detach()) for r in (False, True))
        assert scaled == pytest.approx(loss * plain, rel=1e-4) and plain > 0.3


def test_entropy_falls_under_its_penalty(mlp, features):
    alpha = Training("adam", 0.05, None, weight_decay=0.0, clip=0.0)
    method = recipe("tanglenas", relaxation=Softmax(), epochs=8, batch=16, architecture=alpha, penalties=())
    plain = GradientSearch(mlp, features, method).run(random=0).history[-1]["entropy"]
    pushed = method.with_(penalties=(Entropy(5.0, growing=False),))
    assert GradientSearch(mlp, features, pushed).run(random=0).history[-1]["entropy"] < plain


def test_the_zero_one_loss_by_hand_and_only_with_gates():
    gates = torch.tensor([0.9, 0.5, 0.1])
    core = SimpleNamespace(alpha=lambda: {"edge": torch.logit(gates)})
    found = ZeroOne(10.0).architecture(torch.tensor(1.0), SimpleNamespace(core=core))
    assert float(found) == pytest.approx(1.0 - 10.0 * (0.16 + 0.0 + 0.16) / 3, rel=1e-5)
    with pytest.raises(ConfigurationError, match="sigmoid"):
        recipe("darts", penalties=(ZeroOne(),))


def test_the_dirichlet_anchor_needs_a_dirichlet():
    with pytest.raises(ConfigurationError, match="dirichlet"):
        recipe("darts", penalties=(DirichletAnchor(),))


def test_the_teachers_of_self_distillation_vote(mlp, features):
    penalty = SelfDistillation(2)
    method = recipe("tanglenas", relaxation=Softmax(), epochs=4, batch=16, penalties=(penalty,))
    GradientSearch(mlp, features, method).run(random=0)
    assert len(penalty.voters) == 2


def test_progressive_selection_leaves_fewer_options(cells, task):
    search = search_of("p-darts", cells, task, warmup=0, selection=Progressive())
    search.run(random=0)
    assert all(len(search.core.left(d.index)) == 3 for d in cells.decisions)


def test_partial_channels_need_cells(convs, task):
    with pytest.raises(ConfigurationError, match="cells"):
        search_of("pc-darts", convs, task)


def test_partial_channels_keep_the_decisions(cells, task):
    core = Core(cells, task.input_shape, relaxation=Softmax(), mixing=Partial(2))
    assert [d.name for d in core.inner.decisions] == [d.name for d in cells.decisions]
    assert {p.numel() for p in core.betas.values()} == {2, 3}


def test_a_mixture_of_slices_is_one_core(mlp, features):
    core = Core(mlp, features.input_shape, relaxation=Softmax(), mixing=EntangledWeights())
    assert core.outputs(torch.randn(3, 6), core.weights(draw())).shape == (3, 3)
    assert RARTS.second_copy(core).alphas is core.alphas


def test_coarse_to_fine_measures_a_grid_of_skeletons_then_varies_the_best(mlp, features, monkeypatch):
    codes = grid(mlp, 2, np.random.default_rng(0))
    assert [mlp.architectures(c[None])[0].key for c in codes] == [mlp.smallest().key, mlp.largest().key]
    three = grid(mlp, 3, np.random.default_rng(0))
    assert len(three) == 3 and mlp.is_member(three).all()
    search = GradientSearch(mlp, features, recipe("bignas", epochs=1, batch=16, selection=CoarseToFine(6, 4, 2, 1, 2)))
    seen = []

    def inherited(architecture, batches=None):
        seen.append(architecture.code.copy())
        return {search.task.metric: float(abs(architecture.code - [1, 0]).sum() == 0)}  # between the skeletons

    monkeypatch.setattr(search, "inherited", inherited)
    found = search.method.selection.finish(search)
    assert sorted(map(tuple, seen[:2])) == sorted(map(tuple, codes)) and len(seen) > 2
    assert found.code.tolist() == [1, 0]


def test_coarse_to_fine_keeps_to_a_hard_budget(mlp, features):
    cost = Counts(mlp, features.input_shape)
    limit = float(np.quantile(cost.evaluate(mlp.enumerate())["macs_m"], 0.4))
    method = recipe(
        "bignas", epochs=1, batch=16, selection=CoarseToFine(6, 3, 2, 1, 3), penalties=(Limit(cost, "macs_m", limit),)
    )
    found = GradientSearch(mlp, features, method).run(random=0).architecture
    assert float(cost.evaluate(found.code[None].astype(np.int64))["macs_m"][0]) <= limit
