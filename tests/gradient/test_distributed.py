"""Two processes: the same architecture parameters on both ranks, and the result of one process on the joint batch."""

import itertools
import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from archwright.gradient import GradientSearch, distributed
from archwright.gradient.recipes import recipe
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof
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
