"""Every registered operator keeps the contract on its own examples."""

from __future__ import annotations

import pytest
import torch

from archwright import operators, registry
from archwright.export.classes import ClassPrinter
from archwright.nets.build import program_of
from archwright.operators.base import Leaf
from archwright.space import Space
from archwright.testing import operators as contract

NAMES = registry.names("operators")
CLASSES = {registry.get("operators", name).__name__: registry.get("operators", name) for name in NAMES}
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


def test_every_registered_operator_is_found_in_the_package():
    assert all(getattr(operators, name) is cls for name, cls in CLASSES.items())
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = operators.Nonsense


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


@pytest.mark.parametrize(("operator", "inputs"), CASES)
def test_operator_survives_json_and_its_own_repr(operator, inputs):
    again = Space.from_json(Space(operator).to_json(), allow=["torch"]).tree
    assert again == operator and again.output(*inputs) == operator.output(*inputs)
    assert eval(repr(operator), CLASSES) == operator


@pytest.mark.parametrize(("operator", "inputs"), CASES)
def test_module_source_needs_torch_alone(operator, inputs):
    program = program_of(operator, *inputs)
    printer = ClassPrinter()
    for step in program.steps:
        cls, arguments = step.leaf.layer(*step.input_shapes)
        text = printer.reference(cls)
        space = {"torch": torch, "nn": torch.nn, "__name__": "printed"}
        exec("\n".join(["from __future__ import annotations", *printer.imports, *printer.pieces.values()]), space)
        printed = eval(f"{text}(**{arguments!r})", space)
        plain = step.leaf.module(*step.input_shapes)
        printed.load_state_dict(plain.state_dict())
        values = [torch.randn(2, *s) for s in step.input_shapes]
        assert torch.equal(printed.eval()(*values), plain.eval()(*values))
        assert all(line.split()[1].split(".")[0] == "torch" for line in printer.imports)


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "inputs"), CASES)
def test_operator_computes_the_same_in_onnx_runtime(operator, inputs):
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    contract.check_onnx(operator, inputs)
