"""Two processes: the same architecture parameters on both ranks, and the result of one process on the joint batch."""

import itertools
import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from archwright.errors import EvaluationError
from archwright.gradient import GradientSearch, distributed
from archwright.gradient.method import Training
from archwright.gradient.recipes import recipe
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof
from archwright.spaces.darts import darts
from archwright.tasks import load


def make(name):
    rng = np.random.default_rng(1)
    y = np.arange(160) % 3
    task = load((rng.normal(size=(160, 6)).astype(np.float32) + y[:, None], y))
    layers = (Linear(oneof(4, 8, 12), "relu", "layer"), oneof(Linear(8, "relu"), Linear(8, "tanh")), Classifier(3))
    return GradientSearch(Space(Sequential(layers)), task, recipe(name, epochs=1, batch=16), seed=4)


def steps(name, count=3):
    search = make(name)
    for i, (train, valid) in enumerate(itertools.islice(search.data.batches(0), count)):
        search._set_step(i)
        train, valid = ((x[:16], y[:16]) for x, y in (train, valid))  # an even number, so that no row is left over
        parts = distributed.part_of(train), distributed.part_of(valid)
        search.method.update.step(search.stepper, *parts, i)
    distributed.check_equal(search.core.architecture_parameters(), "architecture parameters")
    return {k: v.clone() for k, v in search.core.state_dict().items()}


def worker(rank, port, name, folder):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(100 + rank)  # what a rank does on its own must not matter
    torch.save(steps(name), folder / f"{name}{rank}.pt")
    dist.destroy_process_group()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanglenas", "gdas"])
def test_two_processes_do_what_one_does_on_the_joint_batch(name, tmp_path):
    mp.spawn(worker, (free_port(), name, tmp_path), nprocs=2)
    ranks = [torch.load(tmp_path / f"{name}{r}.pt", weights_only=True) for r in (0, 1)]
    alone = steps(name)
    for key, value in alone.items():
        assert torch.equal(ranks[0][key], ranks[1][key]), key
        torch.testing.assert_close(ranks[0][key], value, rtol=1e-4, atol=1e-6)


NORMED = ("darts", "darts-2nd", "rarts", "gdas", "proxylessnas", "bignas", "tanglenas")


def normed(name):
    """A search over networks with batch norms, after two steps, in float64: data, parameters and statistics."""
    rng = np.random.default_rng(2)
    y = np.arange(96) % 4
    task = load((rng.normal(size=(96, 3, 8, 8)).astype(np.float32) + y[:, None, None, None], y))
    blocks = (Conv(6), oneof(Conv(6), Conv(6, kernel=5), Conv(6, kernel=1)), Conv(oneof(4, 6)), Classifier(4))
    space = Space(Sequential(blocks))
    if name not in ("tanglenas", "proxylessnas", "bignas"):
        space = darts(task.input_shape, task.outputs, channels=4, cells=2, nodes=2)
    steep = Training("sgd", 0.5, None, clip=0.0)  # Adam's first steps see signs alone, also those of rounding errors
    method = recipe(name, epochs=1, batch=16, architecture=steep, warmup=0, train_share=0.5)
    search = GradientSearch(space, task, method, seed=4)
    search.core.double()
    for i, (train, valid) in enumerate(itertools.islice(search.data.batches(0), 2)):
        search._set_step(i)
        parts = [distributed.part_of((x.double()[:16], y[:16])) for x, y in (train, valid)]
        method.update.step(search.stepper, *parts, i)
    distributed.check_equal(search.core.parameters(), "parameters")
    return {k: v.clone() for k, v in search.core.state_dict().items()}


def normed_worker(rank, port, folder):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for name in NORMED:
        torch.save(normed(name), folder / f"{name}{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_batch_norms_of_two_processes_see_the_joint_batch(tmp_path):
    mp.spawn(normed_worker, (free_port(), tmp_path), nprocs=2)
    for name in NORMED:
        ranks = [torch.load(tmp_path / f"{name}{r}.pt", weights_only=True) for r in (0, 1)]
        assert any(k.endswith("running_var") and not torch.equal(v, torch.ones_like(v)) for k, v in ranks[0].items())
        for key, value in normed(name).items():
            assert torch.equal(ranks[0][key], ranks[1][key]), (name, key)
            torch.testing.assert_close(ranks[0][key], value, rtol=1e-7, atol=1e-9, msg=f"{name} {key}")


def test_architecture_parameters_that_differ_between_ranks_stop_the_search(monkeypatch):
    """At the end of an epoch; the other rank is played by a tensor."""
    search, other = make("tanglenas"), []

    def reduced(tensor, op):
        tensor.copy_((torch.maximum if op is dist.ReduceOp.MAX else torch.minimum)(tensor, other[0]))

    original = distributed.check_equal

    def checked(parameters, what):
        with monkeypatch.context() as two:
            two.setattr(distributed, "active", lambda: True)
            two.setattr(distributed.dist, "all_reduce", reduced)
            original(parameters, what)

    parameters = search.core.architecture_parameters()
    other.append(torch.cat([p.detach().double().reshape(-1) for p in parameters]))
    checked(parameters, "architecture parameters")
    other[0][3] += 0.25
    with pytest.raises(EvaluationError, match=r"architecture parameters differ between ranks by up to 0\.25"):
        checked(parameters, "architecture parameters")
    monkeypatch.setattr(distributed, "check_equal", checked)
    with pytest.raises(EvaluationError, match="architecture parameters differ"):
        search.run(random=0)
