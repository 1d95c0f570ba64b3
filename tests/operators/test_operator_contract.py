"""Every registered operator keeps the contract on its own examples."""

from __future__ import annotations

import pytest
import torch

from archwright import registry
from archwright.operators.base import Leaf
from archwright.testing import operators as contract

NAMES = registry.names("operators")
CASES = [
    pytest.param(operator, inputs, id=f"{name}-{i}")
    for name in NAMES
    for i, (operator, inputs) in enumerate(registry.get("operators", name).examples())
]


@pytest.mark.parametrize("name", NAMES)
def test_operator_has_examples_of_its_own_class(name):
    cls = registry.get("operators", name)
    examples = cls.examples()
    assert examples and all(type(operator) is cls for operator, _ in examples)


@pytest.mark.parametrize("check", contract.FAST, ids=lambda c: c.__name__)
@pytest.mark.parametrize(("operator", "inputs"), CASES)
def test_operator_keeps_the_contract(check, operator, inputs):
    torch.manual_seed(1)
    check(operator, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_tensor_exists_in_some_example(name):
    cls = registry.get("operators", name)
    if not issubclass(cls, Leaf):
        return
    examples = cls.examples()
    exist = {t for operator, inputs in examples for t in contract.tensors_of(operator, inputs)}
    listed = {t for operator, _ in examples for t in operator.axes()}
    optional = {t for t in listed if t.startswith(("norm.", "se."))}
    assert listed - optional <= exist


@pytest.mark.parametrize("name", NAMES)
def test_every_elastic_field_is_reduced_in_some_example(name):
    cls = registry.get("operators", name)
    if not issubclass(cls, Leaf) or not cls.elastic:
        return
    reduced = set()
    for operator, inputs in cls.examples():
        for small, _ in contract.smaller(operator, inputs):
            reduced |= {f for f in cls.elastic if getattr(small, f) != getattr(operator, f)}
    assert reduced == cls.elastic


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "inputs"), CASES)
def test_operator_computes_the_same_in_onnx_runtime(operator, inputs):
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    contract.check_onnx(operator, inputs)
