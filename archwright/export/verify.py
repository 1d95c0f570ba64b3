"""Numerical checks that every export passes before it returns: inputs to try, differences, a separate run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ExportError
from archwright.export.source import imported_modules
from archwright.operators.base import Shape


class Difference(NamedTuple):
    """Largest differences between two sets of outputs."""

    absolute: float
    relative: (
        float  # of |difference| / (1 + |expected|): a number within tolerance t differs by at most t (1 + |expected|)
    )


def trial_inputs(
    shapes: Sequence[Shape], real: Sequence[Tensor] | None, batch: int, seed: int = 0
) -> list[tuple[str, tuple[Tensor, ...]]]:
    """What an export is tried on: random numbers like the real ones, and the real ones where there are some.

    Args:
        shapes: of the network's inputs, without the batch axis.
        real: a batch of each input (n, ...), or None. Random inputs take their type, mean and spread from it;
            integers are drawn from those that occur.
        batch: rows of each trial; real rows are repeated if there are fewer.
        seed: of the random inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for i, shape in enumerate(shapes):
        known = real[i].detach().cpu() if real else None
        if known is not None and not known.is_floating_point():
            index = torch.randint(known.numel(), (batch, *shape), generator=generator)
            drawn.append(known.reshape(-1)[index])
        else:
            noise = torch.randn(batch, *shape, generator=generator)
            mean, spread = (known.mean(), known.std().clamp_min(1e-3)) if known is not None else (0.0, 1.0)
            drawn.append(noise * spread + mean)
    out = [("random", tuple(drawn))]
    if real:
        rows = [torch.arange(batch) % len(r) for r in real]
        out.append(("real", tuple(r.detach().cpu()[index] for r, index in zip(real, rows, strict=True))))
    return out


def difference(expected: Tensor, got: Tensor) -> Difference:
    """How far two outputs are apart; infinite where shapes differ or only one is not a number."""
    if expected.shape != got.shape:
        return Difference(float("inf"), float("inf"))
    a, b = expected.double(), got.double()
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, 0.0, (a - b).abs())
    gap = torch.where(gap.isnan(), float("inf"), gap)
    if not gap.numel():
        return Difference(0.0, 0.0)
    return Difference(float(gap.max()), float((gap / (1 + a.abs().nan_to_num())).max()))


def unsteadiness(network: nn.Module, inputs: tuple[Tensor, ...], tries: int = 4) -> float:
    """Largest relative change of the outputs when inputs change in the last digits of float32.

    Networks that round inside (few bits) move by a whole step where a value lies between two: another order of sums
    does the same, so two right programs differ by about as much.
    """
    generator, worst, expected = torch.Generator().manual_seed(0), 0.0, outputs_of(network, inputs)

    def moved(x: Tensor) -> Tensor:
        return x * (1 + 1e-6 * torch.randn(x.shape, generator=generator)) if x.is_floating_point() else x

    for _ in range(tries):
        found = difference(expected, outputs_of(network, tuple(moved(x) for x in inputs)))
        worst = max(worst, found.relative)
    return worst


def outputs_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Outputs in evaluation mode on the network's own device, moved to the CPU; the mode is restored."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    mode = network.training
    network.eval()
    try:
        with torch.no_grad():
            return network(*(x.to(device) for x in inputs)).detach().cpu()
    finally:
        network.train(mode)


# runs in an interpreter of its own: reads inputs with the file's own reader, writes outputs as raw float64
_CHILD = """
import importlib.util, sys
sys.modules["archwright"] = None
import torch
torch.set_num_threads(int(sys.argv[2]))
spec = importlib.util.spec_from_file_location("model", sys.argv[1] + "/model.py")
model = importlib.util.module_from_spec(spec)
sys.modules["model"] = model
spec.loader.exec_module(model)
net = model.load()
tensors = model.read_safetensors(sys.argv[3])
count = 1 + max(int(name.split(".")[0]) for name in tensors)
with torch.no_grad(), open(sys.argv[4], "wb") as file:
    for i in range(count):
        names = sorted(name for name in tensors if name.startswith(f"{i}."))
        outputs = net(*(tensors[name] for name in names))
        file.write(outputs.double().contiguous().numpy().tobytes())
if net.training:
    raise SystemExit("load() returned a network in training mode")
"""


class SourceCheck:
    """A run of `model.py` with `model.safetensors` in a clean interpreter, beside which the caller may go on.

    Raises:
        ExportError: at once if the file imports more than torch, in `result` if it does not run or computes something
            else.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        trials: Sequence[tuple[str, tuple[Tensor, ...]]],
        tolerance: float = 1e-6,
    ) -> None:
        source = (folder / "model.py").read_text(encoding="utf-8")
        foreign = {m for m in imported_modules(source) if m != "torch" and m not in sys.stdlib_module_names}
        if foreign:
            raise ExportError(f"model.py may import only torch and the standard library, it imports {sorted(foreign)}")
        from safetensors.torch import save_file

        self._expected = [(name, outputs_of(network, inputs)) for name, inputs in trials]
        self._tolerance = tolerance
        self._scratch = tempfile.TemporaryDirectory()
        given, self._answer = (Path(self._scratch.name, name) for name in ("inputs.safetensors", "outputs.bin"))
        tensors = {f"{i}.{j:03d}": x.contiguous() for i, (_, xs) in enumerate(trials) for j, x in enumerate(xs)}
        save_file(tensors, given)
        arguments = [str(folder), str(torch.get_num_threads()), str(given), str(self._answer)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _CHILD, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> SourceCheck:
        return self

    def __exit__(self, *_: object) -> None:
        """End the run if it still goes on, and remove its files."""
        self._process.kill()
        self._process.communicate()
        self._scratch.cleanup()

    def result(self, timeout_s: float = 300.0) -> Difference:
        """Wait for the run and compare."""
        try:
            _, said = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"model.py did not finish within {timeout_s:.0f} s in a separate interpreter") from error
        if self._process.returncode:
            lines = said.strip().splitlines()
            raise ExportError(f"model.py does not run without archwright: {lines[-1] if lines else 'no message'}")
        flat = np.fromfile(self._answer, dtype=np.float64)
        sizes = [y.numel() for _, y in self._expected]
        if flat.size != sum(sizes):
            raise ExportError(f"model.py computed {flat.size} numbers where {sum(sizes)} were expected; do not use it")
        worst = Difference(0.0, 0.0)
        for (name, y), part in zip(self._expected, np.split(flat, np.cumsum(sizes)[:-1]), strict=True):
            found = difference(y, torch.from_numpy(part.copy()).reshape(y.shape))
            if not found.relative <= self._tolerance:
                raise ExportError(
                    f"model.py computes something else than the network on {name} inputs: the largest difference is "
                    f"{found.absolute:.3g} ({found.relative:.3g} relative), at most {self._tolerance:g} is accepted"
                )
            worst = max(worst, found, key=lambda d: d.relative)
        return worst


def verify_source(
    folder: Path, network: nn.Module, trials: Sequence[tuple[str, tuple[Tensor, ...]]], *, tolerance: float = 1e-6
) -> Difference:
    """Run `model.py` with `model.safetensors` of a folder in a clean interpreter and compare its outputs.

    Raises:
        ExportError: if it imports more than torch, does not run, or computes something else.
    """
    with SourceCheck(folder, network, trials, tolerance) as check:
        return check.result()
