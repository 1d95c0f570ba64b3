"""Latency of networks on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.measure.backends import Backend, check_backend, fixed_threads, runner
from archwright.measure.timing import LatencyReport, Protocol, time_functions

Shape = tuple[int, ...]


class LatencyMeter:
    """Times networks by the protocol of `archwright.measure`.

    Args:
        backend: `onnxruntime`, `torch` or `torch-compile`.
        threads: fixed number of threads.
        batch: examples a run.
        protocol: how long and how often.
        device: for the torch backends.

    Raises:
        ConfigurationError: if the backend is unknown, or threads or batch are not positive.
    """

    def __init__(
        self,
        backend: Backend = "onnxruntime",
        *,
        threads: int = 1,
        batch: int = 1,
        protocol: Protocol | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        check_backend(backend)
        if threads < 1 or batch < 1:
            raise ConfigurationError(f"threads and batch are 1 or more, got threads={threads}, batch={batch}")
        self.backend, self.threads, self.batch = backend, threads, batch
        self.protocol, self.device = protocol or Protocol(), torch.device(device)

    def inputs(self, input_shapes: Sequence[Shape], seed: int = 0) -> list[Tensor]:
        """Random inputs (batch, *shape); the time of the operators does not depend on their values."""
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(self.batch, *shape, generator=generator).to(self.device) for shape in input_shapes]

    def measure(
        self, nets: Sequence[nn.Module], *input_shapes: Shape, shapes: Sequence[Sequence[Shape]] | None = None
    ) -> list[LatencyReport]:
        """Time networks in turns with each other.

        Args:
            nets: are put into evaluation mode.
            input_shapes: of every network, without the batch axis.
            shapes: input shapes of each network, where they differ.

        Raises:
            EvaluationError: if a network cannot run in the backend.
        """
        each = [list(input_shapes)] * len(nets) if shapes is None else [list(s) for s in shapes]
        if len(each) != len(nets):
            raise ConfigurationError(f"got {len(nets)} networks and input shapes of {len(each)}")
        with fixed_threads(self.threads):
            runners = [
                runner(net.to(self.device), self.inputs(s), self.backend, self.threads)
                for net, s in zip(nets, each, strict=True)
            ]
            return time_functions(runners, self.protocol, labels=(self.backend, self.threads, self.batch))

    def describe(self) -> dict[str, Any]:
        """Settings and machine, for manifests and tables."""
        return {
            "backend": self.backend,
            "threads": self.threads,
            "batch": self.batch,
            "device": str(self.device),
            "machine": machine(),
        }


def machine() -> dict[str, Any]:
    """What a timing depends on: processor, cores and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "torch": torch.__version__,
        "onnxruntime": _version("onnxruntime"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


__all__ = ["LatencyMeter", "machine"]
