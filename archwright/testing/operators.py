"""The contract of operators: laws that every registered operator keeps on its own `examples()`.

`checks_of(operator)` lists the laws that apply; a third party's operator is held to them by

    for check in checks_of(operator):
        check(operator, inputs)
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from archwright import registry
from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf, Operator, Shape, trace

Check = Callable[[Operator, tuple[Shape, ...]], None]
GIVEN = ("in", "in0", "in1")  # axes of inputs


def assert_near(found: Tensor, expected: Tensor, what: object) -> None:
    """Equal up to float32 sums in another order."""
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5), (
        f"{what}: the outputs differ by up to {(found - expected).abs().max():.3g} of {expected.abs().max():.3g}"
    )


class Assembled(nn.Module):
    """An operator as a module, each leaf made and run in the order of `flow`; independent of `archwright.nets`."""

    def __init__(self, operator: Operator, inputs: tuple[Shape, ...]) -> None:
        super().__init__()
        self.operator = operator
        self.leaves: list[tuple[Leaf, tuple[Shape, ...]]] = []
        self.layers = nn.ModuleList()

        def run(part: Operator, *shapes: Shape) -> Shape:
            if isinstance(part, Composite):
                return part.flow(run, *shapes)
            assert isinstance(part, Leaf)
            self.leaves.append((part, shapes))
            self.layers.append(part.module(*shapes))
            return part.output(*shapes)

        self.shape = run(operator, *inputs)

    def forward(self, *values: Tensor) -> Tensor:
        """Values of the inputs -> value of the output."""
        layers = iter(self.layers)

        def run(part: Operator, *values: Tensor) -> Tensor:
            return part.flow(run, *values) if isinstance(part, Composite) else next(layers)(*values)

        return run(self.operator, *values)


def _values(inputs: tuple[Shape, ...], batch: int = 3) -> list[Tensor]:
    return [torch.randn(batch, *shape) for shape in inputs]


def _shaken(module: nn.Module) -> nn.Module:
    """The module in evaluation mode with random weights and statistics, so that no two channels are alike."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor) * 0.5)
    return module.eval()


def check_output(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """`output` says the shape that the module gives."""
    found = Assembled(operator, inputs).eval()(*_values(inputs)).shape
    assert operator.output(*inputs) == tuple(found[1:]), (operator.output(*inputs), tuple(found))
    assert found[0] == 3


def check_counts(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """`counts` says what the module holds, and the multiply-accumulates that torch counts."""
    net = Assembled(operator, inputs)
    for (leaf, shapes), module in zip(net.leaves, net.layers, strict=True):
        counts = leaf.counts(*shapes)
        assert counts.params == sum(p.numel() for p in module.parameters()), (leaf, counts)
        stored = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
        assert counts.weight_bytes == 4 * sum(t.numel() for t in stored), (leaf, counts)
        assert counts.activation_bytes == 4 * math.prod(leaf.output(*shapes)), (leaf, counts)
        assert counts == trace(leaf, shapes).counts, (leaf, counts, trace(leaf, shapes).counts)


def check_gradient(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """Training gives every parameter and every input that is read a finite gradient, not all of them zero."""
    torch.manual_seed(0)
    net = Assembled(operator, inputs).train()
    values = [v.requires_grad_() for v in _values(inputs, batch=4)]
    output = net(*values)
    (output * torch.randn_like(output)).sum().backward()
    gradients = [p.grad for p in net.parameters()]
    if not _has_side_output(operator):
        assert all(g is not None for g in gradients), [n for n, p in net.named_parameters() if p.grad is None]
    reached = [g for g in [*gradients, *(v.grad for v in values)] if g is not None]
    assert reached and all(bool(torch.isfinite(g).all()) for g in reached)
    if output.numel() and any(module for module in net.layers if type(module).__name__ != "Zeros"):
        assert any(bool(g.any()) for g in reached)


def _has_side_output(operator: Operator) -> bool:
    """Whether the operator's weights act on something beside its output, as the label `side_output` says."""
    return any(
        e.labels.get("side_output") and registry.get("operators", e.name) is type(operator)
        for e in registry.entries("operators").values()
    )


def check_determinism(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """In evaluation mode equal inputs give equal outputs, and nothing in the module changes."""
    net = Assembled(operator, inputs).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    values = _values(inputs)
    assert torch.equal(net(*values), net(*values))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def check_isolation(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """In evaluation mode output i depends on input i alone."""
    net = _shaken(Assembled(operator, inputs))
    values, others = _values(inputs), _values(inputs)
    mixed = [torch.cat([value[:1], other[1:]]) for value, other in zip(values, others, strict=True)]
    assert_near(net(*values)[:1], net(*mixed)[:1], operator)


def check_refusal(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """Inputs that cannot fit are refused with a `SpaceError`: none at all, and an empty shape."""
    for wrong in ((), ((),) * len(inputs)):
        try:
            operator.output(*wrong)
        except SpaceError:
            continue
        except Exception as error:
            raise AssertionError(f"{operator!r} raised {error!r} instead of a SpaceError for {wrong}") from error
        assert isinstance(operator, Composite) or wrong == ((),) * len(inputs), (operator, wrong)


def tensors_of(leaf: Leaf, inputs: tuple[Shape, ...]) -> dict[str, Tensor]:
    """Weights and statistics of a leaf's module that have axes, by name."""
    return {name: tensor for name, tensor in leaf.module(*inputs).state_dict().items() if tensor.dim()}


def axis_sizes(leaf: Leaf, inputs: tuple[Shape, ...]) -> dict[str, int]:
    """Size of every named axis; asserts that all tensors agree on it."""
    sizes = dict(leaf.axis_sizes(*inputs))
    for name, tensor in tensors_of(leaf, inputs).items():
        axes = leaf.axes_of(name, tensor.dim())
        assert len(axes) == tensor.dim()
        for axis, size in zip(axes, tensor.shape, strict=True):
            if axis is None or axis == "kernel":
                continue
            if "*" in axis:
                expected = math.prod(sizes[factor] for factor in axis.split("*"))
            else:
                expected = sizes.setdefault(axis, size)
            assert size == expected, f"{leaf!r}: axis {axis!r} of {name!r} has size {size}, elsewhere {expected}"
    return sizes


def check_axes(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """Dimensions of one axis have one size; `in` is an axis of the input, `out` of the output."""
    for leaf, shapes in Assembled(operator, inputs).leaves:
        sizes = axis_sizes(leaf, shapes)
        for axis, shape in (("in", shapes[0]), ("in0", shapes[0]), ("in1", shapes[-1]), ("out", leaf.output(*shapes))):
            assert sizes.get(axis, shape[0]) in (shape[0], shape[-1]), (leaf, axis, sizes, shape)


def _index(axis: str | None, large: int, small: int, sizes: tuple[Mapping[str, int], Mapping[str, int]]) -> Tensor:
    """Positions along one dimension of a large tensor that the small one takes."""
    assert small <= large
    if axis is None:
        assert small == large
    if axis == "kernel":
        assert (large - small) % 2 == 0
        return torch.arange(small) + (large - small) // 2
    if axis is not None and "*" in axis:
        index = torch.zeros(1, dtype=torch.int64)
        for factor in axis.split("*"):
            assert sizes[1][factor] <= sizes[0][factor]
            index = (index[:, None] * sizes[0][factor] + torch.arange(sizes[1][factor])).flatten()
        return index
    return torch.arange(small)


def smaller(leaf: Leaf, inputs: tuple[Shape, ...]) -> Iterator[tuple[Leaf, tuple[Shape, ...]]]:
    """The leaf with each of its elastic fields reduced, with all of them reduced, and on fewer input channels."""
    reduced: dict[str, Any] = {}
    for f in fields(leaf):
        value = getattr(leaf, f.name)
        if f.name not in leaf.elastic or value is None or value in (0, 1, 2):
            continue
        if f.name == "kernel":
            reduced[f.name] = value - 2 if value > 2 else value
        else:
            reduced[f.name] = (value + 1) // 2 if isinstance(value, int) else value / 2
    candidates = [({name: value}, inputs) for name, value in reduced.items()]
    candidates += [(changes, shapes) for shapes in _narrower(leaf, inputs) for changes in ({}, reduced)]
    for changes, shapes in [*candidates, (reduced, inputs)]:
        small: Leaf = replace(leaf, **changes)
        try:
            small.output(*shapes)
        except SpaceError:
            continue
        grown = dict(leaf.axis_sizes(*inputs))
        if all(size <= grown[name] for name, size in small.axis_sizes(*shapes).items()):
            yield small, shapes


def _narrower(leaf: Leaf, inputs: tuple[Shape, ...]) -> Iterator[tuple[Shape, ...]]:
    """Input shapes with half the channels, wherever it is clear which axis they are."""
    sizes = axis_sizes(leaf, inputs)
    for axis in GIVEN:
        where = int(axis == "in1")
        dims = [d for d, size in enumerate(inputs[where]) if size == sizes.get(axis)] if where < len(inputs) else []
        if len(dims) == 1 and inputs[where][dims[0]] % 2 == 0:
            shape = list(inputs[where])
            shape[dims[0]] //= 2
            yield (*inputs[:where], tuple(shape), *inputs[where + 1 :])


def check_cut(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """A smaller leaf's tensors are the larger one's, indexed along each axis; the smaller leaf runs on them."""
    for leaf, shapes in Assembled(operator, inputs).leaves:
        large = tensors_of(leaf, shapes)
        for small_leaf, small_shapes in smaller(leaf, shapes):
            module = small_leaf.module(*small_shapes)
            sizes = leaf.axis_sizes(*shapes), small_leaf.axis_sizes(*small_shapes)
            state = dict(module.state_dict())
            assert {n for n, t in state.items() if t.dim()} == set(large), (leaf, small_leaf)
            for name, tensor in state.items():
                axes = small_leaf.axes_of(name, tensor.dim())
                cut = large.get(name, tensor)
                for dim, (axis, size) in enumerate(zip(axes, tensor.shape, strict=True)):
                    cut = cut.index_select(dim, _index(axis, cut.shape[dim], size, sizes))
                state[name] = cut
            module.load_state_dict(state)
            assert module.eval()(*_values(small_shapes)).shape[1:] == small_leaf.output(*small_shapes)


def _permuted(leaf: Leaf, state: Mapping[str, Tensor], axis: str, sizes: Mapping[str, int], order: Tensor) -> Any:
    """The state with one axis reordered in every tensor that has it."""
    out = {}
    for name, tensor in state.items():
        for dim, named in enumerate(leaf.axes_of(name, tensor.dim())):
            if named is None or axis not in named.split("*"):
                continue
            index = torch.zeros(1, dtype=torch.int64)
            for factor in named.split("*"):
                size = sizes[factor]
                index = (index[:, None] * size + (order if factor == axis else torch.arange(size))).flatten()
            tensor = tensor.index_select(dim, index)
        out[name] = tensor
    return out


def check_permutation(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """Reordering an inner axis in all tensors changes nothing; reordering `in` and the input alike neither.

    This shows that `axes` names every place where an axis stands. Inner axes that no tensor reads (those that make up
    the output) are left out, and so is `in` where an identity may pass it on.
    """
    torch.manual_seed(0)
    for leaf, shapes in Assembled(operator, inputs).leaves:
        module = _shaken(leaf.module(*shapes))
        state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        sizes = axis_sizes(leaf, shapes)
        axes = [leaf.axes_of(name, tensor.dim()) for name, tensor in state.items()]
        read = {factor for named in axes for a in named[1:] if a for factor in a.split("*")} - {"kernel", "out", *GIVEN}
        values = _values(shapes)
        for axis in sorted(read):
            module.load_state_dict(state)
            before = module(*values)
            module.load_state_dict(_permuted(leaf, state, axis, sizes, torch.randperm(sizes[axis])))
            assert_near(module(*values), before, (leaf, axis))
        _check_inputs(leaf, module, state, sizes, values)


def _check_inputs(
    leaf: Leaf, module: nn.Module, state: Mapping[str, Tensor], sizes: Mapping[str, int], values: Sequence[Tensor]
) -> None:
    output = leaf.output(*(tuple(v.shape[1:]) for v in values))
    dims = [d for d, size in enumerate(values[0].shape) if d and size == sizes.get("in")]
    if len(dims) != 1 or ("out" in sizes and output == tuple(values[0].shape[1:])):
        return
    if getattr(leaf, "kind", "") == "group":  # neighbouring channels belong together
        return
    order = torch.randperm(sizes["in"])
    module.load_state_dict(state)
    before = module(*values)
    module.load_state_dict(_permuted(leaf, state, "in", sizes, order))
    after = module(values[0].index_select(dims[0], order))
    made = "out" in sizes or output[dims[0] - 1 :][:1] != (sizes["in"],)
    expected = before if made else before.index_select(dims[0], order)
    assert_near(after, expected, (leaf, "in"))


def check_onnx(operator: Operator, inputs: tuple[Shape, ...]) -> None:
    """The exported ONNX graph computes the same in ONNX Runtime, for another batch size as well."""
    import onnxruntime

    net = _shaken(Assembled(operator, inputs))
    file = io.BytesIO()
    batch = torch.export.Dim("batch", min=2, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, tuple(_values(inputs)), dynamo=True, verbose=False, dynamic_shapes=(tuple({0: batch} for _ in inputs),)
        )
        program.save(file)  # type: ignore[union-attr, arg-type]
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for size in (3, 5):
        values = _values(inputs, size)
        feeds = {node.name: value.numpy() for node, value in zip(session.get_inputs(), values, strict=True)}
        found = torch.from_numpy(session.run(None, feeds)[0])
        assert_near(found, net(*values).detach(), operator)


FAST: tuple[Check, ...] = (
    check_output,
    check_counts,
    check_gradient,
    check_determinism,
    check_isolation,
    check_refusal,
    check_axes,
    check_cut,
    check_permutation,
)


def checks_of(operator: Operator) -> tuple[Check, ...]:
    """The laws for an operator; only those that take no longer than some milliseconds."""
    return FAST
