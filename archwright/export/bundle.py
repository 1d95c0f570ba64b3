"""The folder `best/` of a run: architecture, source, weights, ONNX and metrics of the network that was chosen.

The folder is written beside its place and moved there at once: a reader, or a process killed at any moment, leaves
the old folder or the new one. Nothing in it is a pickle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archwright.errors import ExportError, MissingPackageError, SpaceError
from archwright.export.onnx import OnnxReport, export_onnx
from archwright.export.source import Notes, write_source
from archwright.export.swap import recover, replaced
from archwright.export.verify import Difference, SourceCheck, trial_inputs
from archwright.export.weights import exported_state, load_exported, parameter_names, read_weights, save_weights
from archwright.nets.build import Network, build, program_of

if TYPE_CHECKING:
    from archwright.space import Architecture

FORMAT = 1
_OUTPUTS = {
    "classification": "Scores of the classes before softmax.",
    "regression": "Standardised targets: multiply by target_std and add target_mean.",
}


@dataclass(frozen=True)
class Exported:
    """What `export_best` wrote and how well the files agree with the network."""

    folder: Path
    source: Difference
    onnx: OnnxReport | None
    notes: tuple[str, ...] = ()


def export_best(
    network: Network,
    architecture: Architecture,
    folder: str | Path,
    *,
    task: Any = None,
    metrics: Mapping[str, float] | None = None,
    predicted: Mapping[str, float] | None = None,
    title: str = "A network found by archwright",
    onnx: bool = True,
) -> Exported:
    """Write `architecture.json, model.py, model.safetensors, model.onnx, metrics.json`, each verified, into a folder.

    Args:
        network: the trained network of the architecture.
        architecture: its architecture.
        folder: usually `best` in the run folder; replaced as a whole.
        task: what it was trained for; gives real inputs to try and words for the source's head.
        metrics: measured on this network, names with units.
        predicted: what the search believed, names with units.
        title: first line of the source.
        onnx: whether to write model.onnx; without the onnx extra it is left out with a note.

    Raises:
        ExportError: if a file cannot be written or does not compute the same as the network.
    """
    folder, measured, notes = Path(folder), dict(metrics or {}), []
    names = _names(network, architecture)
    real = real_inputs(task)
    head = _head(title, architecture, task, measured, predicted or {}, real)
    about = {
        "format": str(FORMAT),
        "architecture_digest": architecture.digest,
        "input_shapes": json.dumps(network.input_shapes),
        "layers": json.dumps([names[step.name] for step in network.program.steps]),
        "preprocessing": json.dumps(_said(task), default=str),
    }
    report = None
    with replaced(folder) as fresh:
        (fresh / "architecture.json").write_text(architecture.to_json(), encoding="utf-8")
        save_weights(exported_state(network, names), fresh / "model.safetensors", about)
        write_source(network, fresh / "model.py", head, names)
        trials = trial_inputs(network.input_shapes, real, 8)
        with SourceCheck(fresh, network, trials) as check:  # runs while the graph is made
            if onnx:
                try:
                    report = export_onnx(network, fresh / "model.onnx", real=real, metadata=about)
                    notes += [report.note] if report.note else []
                except MissingPackageError as error:
                    notes.append(str(error))
            source = check.result()
        written = _metrics(network, architecture, measured, predicted or {}, source, report, notes)
        written["preprocessing"] = json.loads(about["preprocessing"])
        (fresh / "metrics.json").write_text(json.dumps(written, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if report is not None:
        report = OnnxReport(**{**vars(report), "path": folder / "model.onnx"})
    return Exported(folder, source, report, tuple(notes))


def _names(network: Network, architecture: Architecture) -> dict[str, str]:
    """Step name of the network -> attribute name, from the sites of the architecture's space."""
    program = program_of(architecture, *network.input_shapes)
    ours = [(type(s.leaf), s.inputs, s.shape) for s in network.program.steps]
    theirs = [(type(s.leaf), s.inputs, s.shape) for s in program.steps]
    if ours != theirs:
        raise ExportError(
            f"the network is not of this architecture: it has {len(ours)} layers, the architecture {len(theirs)}, "
            "or their shapes differ; build or extract the network from the architecture"
        )
    known = parameter_names(program)
    return {mine.name: known[its.name] for mine, its in zip(network.program.steps, program.steps, strict=True)}


def real_inputs(task: Any, rows: int = 16) -> tuple[Tensor, ...] | None:
    """A batch of the task's test inputs, or None without a task."""
    if task is None:
        return None
    x, _ = next(iter(task.test.batches(min(rows, len(task.test)))))
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _head(
    title: str,
    architecture: Architecture,
    task: Any,
    measured: Mapping[str, float],
    predicted: Mapping[str, float],
    real: Sequence[Tensor] | None,
) -> Notes:
    figures: dict[str, float | str] = {}
    for name, value in {**predicted, **measured}.items():
        guess = predicted.get(name)
        differs = guess is not None and name in measured and not math.isclose(guess, value, rel_tol=1e-3)
        figures[name] = f"{value:.6g} (predicted {guess:.6g})" if differs else float(value)
    vocabulary = None
    if real is not None and not real[0].is_floating_point():
        vocabulary = int(max(int(x.max()) for x in real)) + 1
    outputs = ""
    if task is not None:
        outputs = _OUTPUTS.get(task.kind, "")
    return Notes(
        title=title.rstrip("."),
        architecture=str(architecture),
        digest=architecture.digest,
        metrics=figures,
        preprocessing=_preprocessing(task, real),
        outputs=outputs,
        vocabulary=vocabulary,
    )


def _preprocessing(task: Any, real: Sequence[Tensor] | None) -> str:
    """How inputs must be prepared: what the task says, line by line, and the range of the inputs that were seen."""
    if task is None or real is None:
        return ""
    said = [f"  {key}: {_short(value)}" for key, value in _said(task).items()]
    x = real[0]
    if x.is_floating_point():
        seen = (
            f"Float32; {len(x)} test inputs have mean {float(x.mean()):.3g}, standard deviation {float(x.std()):.3g}, "
            f"range {float(x.min()):.3g} to {float(x.max()):.3g}."
        )
    else:
        seen = f"Integers from {int(x.min())} to {int(x.max())} in {len(x)} test inputs."
    return "\n".join(
        [seen, f"Prepared by task {task.name!r}:" if said else f"As task {task.name!r} gives them.", *said]
    )


def _said(task: Any) -> Mapping[str, Any]:
    """The task's own words on preprocessing, as JSON values."""
    said = getattr(task, "preprocessing", None) or {}
    return dict(said) if isinstance(said, Mapping) else {"note": str(said)}


def _short(value: Any) -> str:
    """A value in a line; of long lists the first few entries."""
    if isinstance(value, list | tuple):
        shown = ", ".join(_short(v) for v in value[:12])
        return f"{shown}, ... ({len(value)}; all are in metrics.json)" if len(value) > 12 else shown
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}


def _metrics(
    network: Network,
    architecture: Architecture,
    measured: Mapping[str, float],
    predicted: Mapping[str, float],
    source: Difference,
    report: OnnxReport | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "format": FORMAT,
        "architecture_digest": architecture.digest,
        "input_shapes": [list(shape) for shape in network.input_shapes],
        "parameters": sum(p.numel() for p in network.parameters()),
        "measured": _finite(measured),
        "predicted": _finite(predicted),
        "source": {"largest_difference": source.absolute},
        "torch": torch.__version__,
    }
    if report is not None:
        out["onnx"] = {
            "exporter": report.exporter,
            "opset": report.opset,
            "size_mb": report.size_mb,
            "largest_difference": report.absolute_error,
            "largest_relative_difference": report.relative_error,
            "checks": dict(report.checks),
        }
    if notes:
        out["notes"] = list(notes)
    return out


def load_best(folder: str | Path, *, allow: Iterable[str] = ()) -> Network:
    """The network of an export folder with its weights, in evaluation mode.

    Args:
        folder: that holds `architecture.json` and `model.safetensors`.
        allow: import paths of user modules that the architecture may name.

    Raises:
        ExportError: if files are missing, damaged or of different exports.
    """
    from archwright.space import Architecture

    folder = Path(folder)
    if not folder.exists():
        recover(folder)
    try:
        text = (folder / "architecture.json").read_text(encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{folder} holds no exported network: {error}; export it again") from error
    state, about = read_weights(folder / "model.safetensors")
    try:
        architecture = Architecture.from_json(text, allow=tuple(allow))
        shapes = tuple(tuple(shape) for shape in json.loads(about["input_shapes"]))
        network = build(architecture, *shapes)
        steps = [step.name for step in network.program.steps]
        names = dict(zip(steps, json.loads(about["layers"]), strict=True))
    except (KeyError, ValueError, SpaceError) as error:
        raise ExportError(f"the network in {folder} cannot be rebuilt: {error}") from error
    if about.get("architecture_digest") != architecture.digest:
        raise ExportError(
            f"architecture.json ({architecture.digest}) and model.safetensors ({about.get('architecture_digest')}) "
            f"in {folder} are of different networks; export again"
        )
    load_exported(network, state, names)
    return network.eval()


__all__ = ["Exported", "export_best", "load_best", "real_inputs"]
