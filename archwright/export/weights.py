"""Weights of a network under the names of its exported source, as safetensors; never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from archwright.errors import ExportError
from archwright.export.naming import places
from archwright.nets.build import Network
from archwright.nets.program import Program


def parameter_names(program: Program) -> dict[str, str]:
    """Step name -> attribute name in the exported source: the prefix of a network's `layers.<step name>`."""
    return {step: place.name for step, place in places(program).items()}


def exported_state(network: Network, names: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """The state of a network on the CPU, under the parameter names of the exported `Model`.

    Args:
        network: the network.
        names: step name -> attribute name; by default those of the network's own program.
    """
    renamed = names or parameter_names(network.program)
    out: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        _, step, rest = key.split(".", 2)  # layers.<step>.<parameter>
        out[f"{renamed[step]}.{rest}"] = tensor.detach().cpu().contiguous().clone()
    return out


def load_exported(network: Network, state: Mapping[str, Tensor], names: Mapping[str, str] | None = None) -> None:
    """Load a state with exported names into a network, in place.

    Args:
        network: the network.
        state: attribute name and parameter name -> tensor.
        names: step name -> attribute name; by default those of the network's own program.

    Raises:
        ExportError: if names or shapes differ, with the first few that do.
    """
    renamed = names or parameter_names(network.program)
    sources = {}
    for key in network.state_dict():
        _, step, rest = key.split(".", 2)
        sources[key] = f"{renamed[step]}.{rest}"
    missing, unknown = sorted(set(sources.values()) - state.keys()), sorted(state.keys() - set(sources.values()))
    if missing or unknown:
        raise ExportError(
            f"the weights do not belong to this network: {len(missing)} tensors are missing {missing[:3]}, "
            f"{len(unknown)} are unknown {unknown[:3]}; use the weights and the architecture of one export"
        )
    try:
        network.load_state_dict({key: state[source] for key, source in sources.items()}, strict=True)
    except RuntimeError as error:
        raise ExportError(f"the weights do not fit this network: {error}") from error


def save_weights(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors with text metadata to a safetensors file.

    Raises:
        ExportError: if the file cannot be written.
    """
    from safetensors.torch import save_file

    try:
        save_file(dict(state), path, metadata=dict(metadata))
        path.chmod(0o644)  # safetensors keeps its files to the owner
    except Exception as error:  # safetensors raises its own kinds for a full disk and for unsupported types
        raise ExportError(f"cannot write the weights to {path}: {error}") from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        ExportError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ExportError(f"cannot read the weights {path}: {error}; export the network again") from error
