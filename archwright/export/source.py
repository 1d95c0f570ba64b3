"""Readable PyTorch source of a network: a `model.py` that imports only torch and loads `model.safetensors` itself.

The program of the network becomes one statement per layer. Nothing is returned before the file has been run in an
interpreter without archwright and has computed the same outputs as the network.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archwright.errors import ExportError
from archwright.export.classes import ClassPrinter, literal, told_arguments
from archwright.export.naming import passes_first
from archwright.export.weights import parameter_names
from archwright.nets.build import Network
from archwright.nets.program import Program, Step
from archwright.operators.base import Shape
from archwright.registry import register

_WIDTH = 110


@dataclass(frozen=True)
class Notes:
    """What the head of the exported source says beside the code; every part may be empty."""

    title: str = "A network found by archwright"
    architecture: str = ""
    digest: str = ""
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    preprocessing: str = ""
    outputs: str = ""
    vocabulary: int | None = None  # inputs are integers below this number; None: they are float


def source_of(network: Network, notes: Notes | None = None, names: Mapping[str, str] | None = None) -> str:
    """The text of `model.py`.

    Args:
        network: what to print.
        notes: what the head says.
        names: step name -> attribute name; by default from the network's own program.

    Raises:
        ExportError: if a layer has no source of its own that needs only torch.
    """
    program, printer = network.program, ClassPrinter()
    init, forward = _body(program, printer, names or parameter_names(program))
    parameters = sum(p.numel() for p in network.parameters())
    imports = _imports(printer.imports)
    text = "\n\n\n".join(
        [
            _head(program, notes or Notes(), parameters) + "\n\n" + imports,
            *printer.pieces.values(),
            _model(program, init, forward),
            _LOADER.strip(),
            _check(program, notes or Notes()),
        ]
    )
    return text + "\n"


def _imports(needed: set[str]) -> str:
    lines = {
        "import json",
        "import struct",
        "from pathlib import Path",
        "import torch",
        "from torch import nn",
        *needed,
    }
    ours = {line for line in lines if line.split()[1].split(".")[0] == "torch"}
    standard = sorted(lines - ours - {"from __future__ import annotations"}, key=lambda s: (s.startswith("from"), s))
    return "\n".join(
        [
            "from __future__ import annotations",
            "",
            *standard,
            "",
            *sorted(ours, key=lambda s: (s.startswith("from"), s)),
        ]
    )


def _head(program: Program, notes: Notes, parameters: int) -> str:
    shapes = ", ".join(f"(batch, {', '.join(map(str, s))})" for s in program.input_shapes)
    lines = [f"{notes.title}.", "", *f"Input: {shapes}. {notes.preprocessing}".strip().split("\n")]
    result = ", ".join(map(str, program.shape))
    lines.append(f"Output: (batch, {result}). {notes.outputs}".strip())
    lines.append(f"Parameters: {parameters:,}")
    lines += [
        f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in notes.metrics.items()
    ]
    if notes.architecture:
        lines.append(f"Architecture: {notes.architecture}")
    if notes.digest:
        lines.append(f"Digest: {notes.digest}")
    lines += [
        "",
        "Use:",
        "    from model import load",
        "    net = load()  # reads model.safetensors beside this file",
        f"    outputs = net({', '.join(_inputs(program))})",
        "",
        "This file needs torch alone; `python model.py` runs it once on random numbers.",
    ]
    wrapped = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped += textwrap.wrap(line, _WIDTH, subsequent_indent=indent + "    ") or [""]
    body = "\n".join(wrapped).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{body}\n"""'


def _inputs(program: Program) -> list[str]:
    """Names of the network's inputs: x, or x0, x1 and so on."""
    count = len(program.input_shapes)
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def _body(program: Program, printer: ClassPrinter, names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Lines of `__init__` and of `forward`."""
    made: dict[str, str] = {}
    aliases: dict[int, int] = {}
    steps: list[tuple[Step, tuple[int, ...]]] = []
    for step in program.steps:
        inputs = tuple(aliases.get(n, n) for n in step.inputs)
        cls, arguments = step.leaf.layer(*step.input_shapes)
        if passes_first(step):  # nothing to compute: the value keeps its name
            aliases[step.output] = inputs[0]
            continue
        steps.append((step, inputs))
        what = f"an argument of {type(step.leaf).__name__}"
        told = told_arguments(cls, arguments)
        call = [f"{key}={literal(value, f'{what}, {key},')}" for key, value in told.items()]
        made.setdefault(names[step.name], _call(printer.reference(cls), call))
    result = aliases.get(program.result, program.result)
    variables = _variables(program, steps, result)
    forward = []
    for step, inputs in steps:
        call_text = f"self.{names[step.name]}({', '.join(variables[n] for n in inputs)})"
        forward.append((f"{variables[step.output]} = {call_text}", _shape(step.shape)))
    forward.append((f"return {variables[result]}", ""))
    return [f"self.{name} = {value}" for name, value in made.items()], _aligned(forward)


def _call(name: str, arguments: Sequence[str]) -> str:
    one = f"{name}({', '.join(arguments)})"
    if len(one) <= _WIDTH - 24:
        return one
    body = textwrap.wrap(", ".join(arguments), _WIDTH - 16, break_long_words=False, break_on_hyphens=False)
    return "\n    ".join([f"{name}(", *body]) + "\n)"


def _variables(program: Program, steps: Sequence[tuple[Step, tuple[int, ...]]], result: int) -> dict[int, str]:
    """Value number -> variable; a name is used again as soon as its value is not needed any more."""
    last = {result: len(steps)}
    for i, (_, inputs) in enumerate(steps):
        for n in inputs:
            last[n] = max(last.get(n, 0), i)
    names = dict(enumerate(_inputs(program)))
    spare = [name for n, name in names.items() if n not in last]
    used = len(names)
    for i, (step, inputs) in enumerate(steps):
        freed = [names[n] for n in dict.fromkeys(inputs) if last[n] == i]
        spare = freed + [name for name in spare if name not in freed]
        if spare:
            spare.sort(key=lambda name: (name not in freed, name != "x", name))
            names[step.output] = spare.pop(0)
        else:
            names[step.output] = f"x{used}"
            used += 1
    return names


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Statements with their comments in one column."""
    column = min(max((len(code) for code, comment in lines if comment), default=0), 60)
    return [f"{code:<{column}}  # {comment}" if comment else code for code, comment in lines]


def _model(program: Program, init: Sequence[str], forward: Sequence[str]) -> str:
    inputs = ", ".join(f"{name}: torch.Tensor" for name in _inputs(program))
    shapes = ", ".join(f"{name} {_shape(s)}" for name, s in zip(_inputs(program), program.input_shapes, strict=True))
    return "\n".join(
        [
            "class Model(nn.Module):",
            '    """The network; comments give the shape of one sample after each line."""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *(textwrap.indent(line, " " * 8) for line in init),
            "",
            f"    def forward(self, {inputs}) -> torch.Tensor:",
            f"        # {shapes}",
            *(f"        {line}" for line in forward),
        ]
    )


# the format: 8 bytes length of the header, the header as JSON, then the numbers (https://github.com/huggingface/safetensors)
_LOADER = '''
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def read_safetensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file: 8 bytes length of the header, the header as JSON, then the numbers."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        kind = TYPES[entry["dtype"]]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=kind) if end > begin else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def load(path: str | Path | None = None) -> Model:
    """The network with its trained weights, ready for inference; by default from model.safetensors beside this file."""
    model = Model()
    model.load_state_dict(read_safetensors(path or Path(__file__).with_name("model.safetensors")), strict=True)
    return model.eval()
'''


def _check(program: Program, notes: Notes) -> str:
    shapes = [f"2, {', '.join(map(str, s))}" for s in program.input_shapes]
    if notes.vocabulary is None:
        made = ", ".join(f"torch.randn({s})" for s in shapes)
    else:
        made = ", ".join(f"torch.randint({notes.vocabulary}, ({s}))" for s in shapes)
    return "\n".join(
        [
            'if __name__ == "__main__":',
            '    weights = Path(__file__).with_name("model.safetensors")',
            "    net = load(weights) if weights.exists() else Model().eval()",
            "    with torch.no_grad():",
            f"        outputs = net({made})",
            f"    if tuple(outputs.shape) != (2, {', '.join(map(str, program.shape))}):",
            '        raise SystemExit(f"unexpected output shape {tuple(outputs.shape)}")',
            "    count = sum(p.numel() for p in net.parameters())",
            '    print(f"{count:,} parameters, output {tuple(outputs.shape)} from random numbers")',
        ]
    )


def imported_modules(source: str) -> set[str]:
    """Root modules that a source text imports."""
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    return roots


@register("exporters", "source")
def write_source(
    network: Network, path: Path, notes: Notes | None = None, names: Mapping[str, str] | None = None
) -> None:
    """Write `model.py`; `verify_source` compares it with the network.

    Raises:
        ExportError: if a layer cannot be printed or the file cannot be written.
    """
    try:
        path.write_text(source_of(network, notes, names), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error}") from error
