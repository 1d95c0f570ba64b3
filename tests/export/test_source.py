import math
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from export_networks import cell_space, operator_examples, sample, space, trained
from torch import nn

from archwright.errors import ExportError
from archwright.export.source import Notes, imported_modules, source_of, write_source
from archwright.export.verify import difference, trial_inputs, verify_source
from archwright.export.weights import exported_state, save_weights
from archwright.nets.build import build
from archwright.operators.base import Layer, Leaf, Shape
from archwright.operators.head import Classifier
from archwright.operators.sequential import Sequential

STEEPNESS = (1.5, 2.0)


def bent(x: torch.Tensor) -> torch.Tensor:
    """A function that a module of the test uses."""
    return torch.tanh(STEEPNESS[0] * x) / math.sqrt(STEEPNESS[1])


class Bend(nn.Module):
    """Uses a function and a constant beside it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return bent(x)


class Foreign(nn.Module):
    """Uses a package that the exported source may not import."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pytest.fail("never run")
        return x


@dataclass(frozen=True)
class Bending(Leaf):
    cls_name: str = "Bend"

    def layer(self, *inputs: Shape) -> Layer:
        return Layer({"Bend": Bend, "Foreign": Foreign}[self.cls_name], {})

    def output(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class Unprintable(Leaf):
    def layer(self, *inputs: Shape) -> Layer:
        return Layer(nn.Softmax, {"dim": torch.tensor(1)})

    def output(self, *inputs: Shape) -> Shape:
        return inputs[0]


def run_source(text, net, inputs):
    """The outputs of the source text with the network's weights."""
    scope = {"__name__": "exported"}
    exec(compile(text, "model.py", "exec"), scope)
    model = scope["Model"]()
    model.load_state_dict(exported_state(net), strict=True)
    with torch.no_grad():
        return model.eval()(*inputs)


@pytest.mark.parametrize(
    ("name", "operator", "shapes"), operator_examples(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_source_of_every_registered_operator_computes_the_same(name, operator, shapes):
    net = build(operator, *shapes, seed=0).eval()
    inputs = trial_inputs(shapes, None, 3)[0][1]
    with torch.no_grad():
        try:
            expected = net(*inputs)
        except (IndexError, RuntimeError, TypeError):  # takes integers
            inputs = tuple(torch.zeros(3, *shape, dtype=torch.long) for shape in shapes)
            expected = net(*inputs)
    text = source_of(net)
    assert "archwright" not in text.replace("found by archwright", "")
    assert torch.equal(run_source(text, net, inputs), expected)


@pytest.mark.parametrize("seed", range(8))
def test_source_of_sampled_networks_computes_the_same(seed):
    for architecture, shape in ((sample(space(), seed), (1, 8, 8)), (sample(cell_space(), seed), (3, 8, 8))):
        net = trained(architecture, shape, seed=seed)
        x = torch.randn(4, *shape)
        with torch.no_grad():
            assert torch.equal(run_source(source_of(net), net, (x,)), net(x))


def test_source_imports_only_torch_and_the_standard_library():
    foreign = imported_modules(source_of(trained(sample(space()), (1, 8, 8)))) - set(sys.stdlib_module_names)
    assert foreign == {"torch"}


def test_every_line_of_forward_says_the_traced_shape():
    net = trained(sample(cell_space(), 4), (3, 8, 8))
    shapes = []
    for layer in net.layers.values():
        layer.register_forward_hook(
            lambda m, i, y: shapes.append(tuple(y.shape[1:])) if not isinstance(m, nn.Identity) else None
        )
    net(torch.randn(1, 3, 8, 8))
    forward = source_of(net).split("def forward(self, x: torch.Tensor)")[-1].split("return x")[0]
    said = [eval(line.split("# ")[1]) for line in forward.split("\n") if "= self." in line]
    assert said == shapes


def test_functions_and_constants_of_a_users_module_are_printed_too():
    net = build(Sequential((Bending(), Classifier(3))), (2, 4, 4), seed=0).eval()
    text = source_of(net)
    assert "def bent(" in text and "STEEPNESS = (1.5, 2.0)" in text and "import math" in text
    x = torch.randn(2, 2, 4, 4)
    with torch.no_grad():
        assert torch.equal(run_source(text, net, (x,)), net(x))


def test_a_module_that_needs_another_package_is_refused_by_name():
    with pytest.raises(ExportError, match="Foreign uses the module 'pytest'"):
        source_of(build(Bending("Foreign"), (2, 4, 4)))


def test_an_argument_that_is_no_literal_is_refused():
    with pytest.raises(ExportError, match="not a literal"):
        source_of(build(Unprintable(), (4,)))


def test_text_of_users_cannot_leave_the_head_comment():
    notes = Notes(
        title='x""" + open("/etc/passwd") + """', architecture="back\\slash '''quotes''' \"\"\"", metrics={"a_ms": 1.0}
    )
    net = trained(sample(space()), (1, 8, 8))
    scope = {"__name__": "exported"}
    exec(compile(source_of(net, notes), "model.py", "exec"), scope)
    assert "a_ms: 1" in scope["__doc__"]


def test_files_run_in_a_clean_interpreter_and_agree_to_the_last_bit(tmp_path):
    net = trained(sample(space(), 2), (1, 8, 8))
    write_source(net, tmp_path / "model.py")
    save_weights(exported_state(net), tmp_path / "model.safetensors", {})
    real = (torch.rand(5, 1, 8, 8),)
    assert verify_source(tmp_path, net, trial_inputs([(1, 8, 8)], real, 6)).absolute <= 1e-6
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "model.py")], capture_output=True, text=True, check=True
    )
    assert "parameters, output (2, 10)" in done.stdout and not done.stderr


def test_wrong_weights_are_found_and_the_numbers_given(tmp_path):
    net = trained(sample(space(), 2), (1, 8, 8))
    write_source(net, tmp_path / "model.py")
    state = exported_state(net)
    key = next(k for k in state if k.startswith("classifier") and k.endswith("weight"))
    state[key] = state[key] + 0.05
    save_weights(state, tmp_path / "model.safetensors", {})
    with pytest.raises(ExportError, match=r"largest difference is [\d.e-]+"):
        verify_source(tmp_path, net, trial_inputs([(1, 8, 8)], None, 4))


def test_difference_counts_shapes_and_missing_numbers():
    assert difference(torch.ones(2), torch.ones(2, 1)).absolute == math.inf
    assert difference(torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0])).absolute == math.inf
    assert difference(torch.tensor([3.0]), torch.tensor([3.5])) == (0.5, 0.125)
    assert difference(torch.tensor([math.inf]), torch.tensor([math.inf])).absolute == 0
