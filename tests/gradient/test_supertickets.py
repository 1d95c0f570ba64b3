"""SuperTickets: operators and weights pruned in one run, masks that regrow, tickets that go to another task."""

import numpy as np
import pytest
import torch
from torch import nn

from archwright.analysis.random_sparse import masked
from archwright.errors import ConfigurationError, EvaluationError
from archwright.gradient import GradientSearch
from archwright.gradient.penalties.regularisers import L1
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.base import Draw
from archwright.gradient.relaxations.scales import Scales
from archwright.nets import build
from archwright.nets.masks import MASKED, zero_share
from archwright.nets.reactivated import Reactivated
from archwright.nets.recipe import Recipe
from archwright.nets.ticket import carry
from archwright.nets.train import evaluate, train
from archwright.spaces.darts import darts
from archwright.spaces.transfer import transfer
from archwright.tasks import load


def linear():
    net = nn.Sequential(nn.Linear(10, 10, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.arange(1.0, 101.0).view(10, 10))
    return net


def empty(net):
    return int((net[0].weight == 0).sum())


def test_a_tenth_more_is_pruned_after_each_interval_up_to_the_sparsity():
    rule = Reactivated(linear(), 0.8)  # 25 of 350 epochs, as published
    assert [round(rule.ratio(k), 12) for k in range(rule.last + 1)] == [
        0,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.8,
        0.8,
    ]
    net = linear()
    rule = Reactivated(net, 0.35, intervals=4, settled=0.5)  # reaches it when masks settle at the latest
    for progress, zeros in ((0.0, 0), (0.24, 0), (0.25, 10), (0.5, 35), (0.9, 35), (1.0, 35)):
        with rule.masking(net, progress):
            assert empty(net) == zeros
    with pytest.raises(ConfigurationError, match="an interval before"):
        Reactivated(net, 0.8, intervals=4, settled=0.1)


def test_pruned_weights_grow_again_in_the_first_part_of_an_interval_alone():
    net = linear()
    rule = Reactivated(net, 0.5, intervals=4, step=0.25, regrow=0.5, settled=0.75)
    weight = net[0].weight

    def gradient_of_the_smallest(progress):
        weight.grad = None
        with rule.masking(net, progress):
            net(torch.ones(1, 10)).sum().backward()
        return float(weight.grad[0, 0])

    assert gradient_of_the_smallest(0.25) == 1.0 and weight[0, 0].item() == 0.0  # pruned, but free
    assert gradient_of_the_smallest(0.4) == 0.0  # held
    with torch.no_grad():
        weight[0, 0] = 1000.0  # it has grown
    assert gradient_of_the_smallest(0.5) == 1.0 and weight[0, 0].item() == 1000.0 and empty(net) == 50
    assert gradient_of_the_smallest(0.7) == 1.0  # the mask has taken it back
    assert weight[2, 5].item() == 0.0 and gradient_of_the_smallest(1.0) == 1.0
    with rule.masking(net, 0.99), torch.no_grad():
        weight[2, 5] = 1000.0
    rule.settle(net)
    assert weight[2, 5].item() == 0.0 and empty(net) == 50  # masks are fixed in the last part


def test_an_option_that_is_left_alone_counts_one_and_l1_closes_what_the_loss_does_not_hold():
    relaxation = Scales()
    scales = torch.tensor([0.5, -0.25, 0.1])
    blocked = torch.tensor([True, False, True])
    draw = Draw(torch.Generator(), blocked={"a": blocked})
    found = relaxation.weights({"a": scales, "b": scales}, draw)
    assert found.values["a"].tolist() == [0.0, 1.0, 0.0] and found.values["b"] is scales
    torch.testing.assert_close(relaxation.probabilities(scales), torch.tensor([0.5, 0.25, 0.1]) / 0.85)
    assert relaxation.probabilities(torch.zeros(4)).tolist() == [0.25] * 4
    free = nn.Parameter(torch.full((3,), 0.3))
    optimizer = torch.optim.SGD([free], lr=0.05)
    context = type("Context", (), {"core": type("Core", (), {"alpha": staticmethod(lambda: {"a": free})})})
    for _ in range(200):
        optimizer.zero_grad()
        L1(0.3).architecture((free[0] - 1.0) ** 2, context).backward()
        optimizer.step()
    assert free[0].item() == pytest.approx(1.0 - 0.05, abs=1e-3) and free[1:].abs().max().item() <= 0.005 + 1e-6


@pytest.fixture(scope="module")
def found(cells, task):
    search = GradientSearch(cells, task, recipe("supertickets", epochs=4, batch=8), seed=2)
    return search, search.run(random=0)


def test_one_run_ends_with_one_option_a_decision_and_the_sparsity_in_every_tensor(found, cells, task):
    search, result = found
    assert [len(search.core.left(d.index)) for d in cells.decisions] == [1] * len(cells.decisions)
    net = result.network()
    counts = [(int((m.weight != 0).sum()), m.weight.numel()) for m in net.modules() if isinstance(m, MASKED)]
    assert [kept for kept, _ in counts] == [max(1, round(0.2 * total)) for _, total in counts]
    x, _ = next(search.data.some(0, 1))
    search.core.eval()
    with torch.no_grad():  # the supernet is the ticket: nothing is lost by taking it out
        torch.testing.assert_close(
            search.core.outputs(x, search.core.expected_weights()), net.eval()(x), rtol=1e-4, atol=1e-5
        )


def test_a_ticket_goes_to_a_second_task_with_a_new_head(found, cells, task):
    _, result = found
    ticket = result.network()
    rng = np.random.default_rng(5)
    y = np.arange(120) % 3
    x = rng.normal(size=(120, 3, 8, 8)).astype(np.float32)
    x[np.arange(120), y] += 2.0
    second = load((x, y))
    target = darts(second.input_shape, second.outputs, channels=4, cells=2, nodes=2)
    net = build(transfer(result.last, target), second.input_shape, seed=0)
    masks = carry(ticket, net)
    *body, head = [n for n, m in net.named_modules() if isinstance(m, MASKED)]
    assert list(masks) == body and net.get_submodule(head).out_features == 3
    for name in body:
        assert torch.equal(net.get_submodule(name).weight, ticket.get_submodule(name).weight)
    before = zero_share(net)
    train(masked(net, masks), second, Recipe(epochs=3, batch=16), seed=0)
    assert zero_share(net) == before > 0.6
    assert evaluate(net, second, "test")["accuracy_percent"] > 60  # chance is 33
    with pytest.raises(EvaluationError, match="its head"):
        carry(
            ticket, build(transfer(result.last, darts((1, 8, 8), 3, channels=4, cells=2, nodes=2)), (1, 8, 8), seed=0)
        )
