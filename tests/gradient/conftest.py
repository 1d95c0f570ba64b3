"""Small data and spaces for searches."""

import numpy as np
import pytest

from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof
from archwright.spaces.darts import darts
from archwright.tasks import load


def images(n=160, classes=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, 3, size, size)).astype(np.float32)
    x[np.arange(n), y % 3] += (1.0 + y[:, None, None]) * 0.5
    return x, y


@pytest.fixture(scope="session")
def task():
    return load(images())


@pytest.fixture(scope="session")
def cells(task):
    return darts(task.input_shape, task.outputs, channels=4, cells=2, nodes=2)


@pytest.fixture(scope="session")
def features():
    rng = np.random.default_rng(1)
    y = np.arange(160) % 3
    return load((rng.normal(size=(160, 6)).astype(np.float32) + y[:, None], y))


@pytest.fixture(scope="session")
def mlp():
    return Space(Sequential((Linear(oneof(4, 8, 12), "relu"), Linear(oneof(4, 8), "relu"), Classifier(3))))


@pytest.fixture(scope="session")
def convs(task):
    options = oneof(Conv(6), Conv(6, kernel=5), Conv(6, kernel=1))
    return Space(Sequential((Conv(6), options, Conv(oneof(4, 6)), Classifier(task.outputs))))
