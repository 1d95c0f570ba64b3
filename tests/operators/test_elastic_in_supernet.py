"""Every elastic leaf works inside a supernet: subnet and extracted network agree bit for bit, with index sets too."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.nets import Supernet
from archwright.operators import Sequential
from archwright.operators.base import Leaf
from archwright.space import Space, holds_choice, oneof
from archwright.testing import operators as contract


def with_choices(leaf, inputs):
    """The leaf with an ordered choice in each elastic field that can be reduced alone."""
    options = {}
    for small, shapes in contract.smaller(leaf, inputs):
        changed = [f.name for f in fields(leaf) if getattr(small, f.name) != getattr(leaf, f.name)]
        if shapes == inputs and len(changed) == 1:
            options[changed[0]] = oneof(getattr(small, changed[0]), getattr(leaf, changed[0]))
    return replace(leaf, **options)


LEAVES = [registry.get("operators", name) for name in registry.names("operators")]
CASES = [
    pytest.param(leaf, inputs, id=f"{cls.__name__}-{i}")
    for cls in LEAVES
    if issubclass(cls, Leaf) and cls.elastic
    for i, (leaf, inputs) in enumerate(cls.examples())
    if holds_choice(with_choices(leaf, inputs))
]


@pytest.mark.parametrize(("leaf", "inputs"), CASES)
def test_subnet_equals_its_extraction(leaf, inputs):
    space = Space(Sequential((with_choices(leaf, inputs),)))
    torch.manual_seed(0)
    supernet = Supernet(space, *inputs).eval()
    values = [torch.randn(2, *shape) for shape in inputs]
    for architecture in space.enumerate():
        plain = supernet.extract(architecture).eval()
        assert torch.equal(supernet(tuple(values), architecture), plain(*values))
    assert not supernet.extract(space.largest()).state_dict().keys() ^ plain.state_dict().keys()


@pytest.mark.parametrize(("leaf", "inputs"), CASES)
def test_index_sets_of_inner_axes_cut_all_their_tensors(leaf, inputs):
    space = Space(Sequential((with_choices(leaf, inputs),)))
    torch.manual_seed(0)
    supernet = Supernet(space, *inputs).eval()
    small = space.smallest().tree.parts[0]
    large, less = contract.axis_sizes(leaf, inputs), contract.axis_sizes(small, inputs)
    rng = np.random.default_rng(0)
    given = {
        f"parts.0:{axis}": torch.from_numpy(np.sort(rng.choice(large[axis], less[axis], replace=False)))
        for axis in less
        if axis not in contract.GIVEN and less[axis] < large[axis]
    }
    values = tuple(torch.randn(2, *shape) for shape in inputs)
    plain = supernet.extract(space.smallest(), given).eval()
    assert torch.equal(supernet(values, space.smallest(), given), plain(*values))
    if given:
        assert not torch.equal(plain(*values), supernet(values, space.smallest()))
