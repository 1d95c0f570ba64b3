"""Writing the best network of a run elsewhere: `archwright export`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from archwright.errors import ExportError
from archwright.job.showing import allow_imports


def export_run(
    folder: Path, *, onnx: Path | None = None, source: Path | None = None, allow: Sequence[str] = ()
) -> Iterator[str]:
    """Write what is asked for, verified; without a wish, say what there is.

    Args:
        folder: of the run.
        onnx: file to write.
        source: folder to write model.py and its weights into.
        allow: modules of the user's that the network may import.

    Yields:
        one line for each thing written.

    Raises:
        ExportError: if the run has no best network yet, or a file does not compute the same.
    """
    best = Path(folder) / "best"
    if not (best / "architecture.json").exists():
        raise ExportError(f"{folder} has no best network yet; let the run finish: archwright resume {folder}")
    if onnx is not None:
        yield _onnx(best, onnx, allow)
    if source is not None:
        try:
            source.mkdir(parents=True, exist_ok=True)
            for name in ("model.py", "model.safetensors", "architecture.json", "metrics.json"):
                shutil.copyfile(best / name, source / name)
        except OSError as error:
            raise ExportError(f"cannot write into {source}: {error.strerror}; choose another --source") from error
        yield f"wrote {source / 'model.py'} and model.safetensors; try: python {source / 'model.py'}"
    if onnx is None and source is None:
        for path in sorted(best.iterdir()):
            yield f"{path} ({path.stat().st_size:,} bytes)"


def _onnx(best: Path, path: Path, allow: Sequence[str]) -> str:
    from archwright.export.bundle import load_best
    from archwright.export.onnx import export_onnx

    allow_imports(allow)
    network = load_best(best, allow=allow).eval()
    metadata = json.loads((best / "metrics.json").read_text(encoding="utf-8"))
    report = export_onnx(network, path, metadata={"digest": str(metadata.get("architecture_digest", ""))})
    return (
        f"wrote {path}: {report.size_mb:.2f} MB, opset {report.opset}; ONNX Runtime agrees with PyTorch to "
        f"{report.absolute_error:.1e} (absolute), {report.relative_error:.1e} (relative)"
    )
