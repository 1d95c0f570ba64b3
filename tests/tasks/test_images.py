"""Subsets of published image sets in the external data folder."""

import numpy as np
import pytest

from archwright.data import data_root
from archwright.errors import ConfigurationError
from archwright.tasks import load

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(data_root() is None, reason="the external data folder is not there (ARCHWRIGHT_DATA)"),
]


def labels(task):
    return np.concatenate([split.y.numpy() for split in (task.train, task.valid, task.test)])


def test_cifar100_has_a_hundred_classes_in_twenty_superclasses_of_five():
    fine = load("cifar100_12k", pixels=16)
    coarse = load("cifar100_12k", pixels=16, coarse=True)
    assert fine.input_shape == coarse.input_shape == (3, 16, 16)
    assert (fine.outputs, coarse.outputs) == (100, 20)
    assert "maple_tree" in fine.preprocessing["class_names"] and "trees" in coarse.preprocessing["class_names"]
    assert np.bincount(labels(fine)).tolist() == [120] * 100 and np.bincount(labels(coarse)).tolist() == [600] * 20
    pairs = {(int(a), int(b)) for a, b in zip(fine.test.y, coarse.test.y, strict=True)}
    assert len(pairs) == 100 and np.bincount([b for _, b in pairs]).tolist() == [5] * 20
    with pytest.raises(ConfigurationError, match="1 to 10,000 images, got 16 and 10001"):
        load("cifar100_12k", pixels=16, images=10_001)
