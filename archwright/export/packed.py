"""Networks in the number formats of their operators as one file: packed codes and scales, the rest as it is.

A safetensors file; `NAME.codes`, `NAME.scales` (and `NAME.scale`) stand for the tensor NAME. What is read back gives
the same outputs, as rounding a rounded tensor changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from archwright.costs.packing import pack, unpack
from archwright.errors import ExportError
from archwright.export.weights import exported_state, load_exported, parameter_names
from archwright.formats import Format
from archwright.nets.build import Network


def _formats(network: Network) -> Mapping[str, Format]:
    """Exported tensor name -> its number format."""
    names = parameter_names(network.program)
    return {
        f"{names[step.name]}.{tensor}": fmt
        for step in network.program.steps
        if step.name in names
        for tensor, fmt in step.leaf.formats().items()
    }


def save_packed(network: Network, path: Path) -> int:
    """Write a network's weights in their formats; bytes of the file.

    Raises:
        ConfigurationError: if a weight is not finite.
    """
    from safetensors.numpy import save_file

    formats = _formats(network)
    out: dict[str, np.ndarray] = {}
    for name, tensor in exported_state(network).items():
        values = tensor.numpy()
        if name in formats:
            out |= {f"{name}.{part}": a for part, a in pack(values, formats[name]).items()}
        else:
            out[name] = np.ascontiguousarray(values)
    save_file(out, str(path))
    return Path(path).stat().st_size


def load_packed(network: Network, path: Path) -> None:
    """Read weights that `save_packed` wrote into a network of the same architecture, in place.

    Raises:
        ExportError: if the file is not of this architecture.
    """
    from safetensors.numpy import load_file

    stored, formats, state = load_file(str(path)), _formats(network), {}
    for name, tensor in exported_state(network).items():
        parts = {p: stored.pop(f"{name}.{p}") for p in ("codes", "scales", "scale") if f"{name}.{p}" in stored}
        if name in formats and {"codes", "scales"} <= set(parts):
            values = unpack(parts, tuple(tensor.shape), formats[name])
        elif name in stored:
            values = stored.pop(name)
        else:
            raise ExportError(f"{str(path)!r} has no tensor {name!r}; use the file and the architecture of one network")
        state[name] = torch.from_numpy(np.asarray(values)).to(tensor.dtype).reshape(tensor.shape)
    load_exported(network, state)
