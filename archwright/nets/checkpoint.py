"""State of a training between two epochs: tensors and plain values, saved as one safetensors file. No pickle.

Randomness is drawn afresh each epoch from (seed, epoch), so a state holds no generator and resuming is exact.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archwright.errors import EvaluationError

SEPARATOR = "//"


@dataclass
class TrainState:
    """Everything that the next epoch needs.

    Attributes:
        epoch: finished epochs.
        tensors: `net//name`, `optimizer//index//name`, `ema//name` and what a method adds -> tensor, on the CPU.
        history: one record a finished epoch.
        notes: plain values that a method adds.
    """

    epoch: int
    tensors: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, such as `net`, without the part's name."""
        prefix = name + SEPARATOR
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}

    def save(self, path: str | Path) -> None:
        """Write the state; the file is replaced at once, so that a crash leaves the old or the new one."""
        from safetensors.torch import save_file

        path = Path(path)
        notes = json.dumps({"epoch": self.epoch, "history": self.history, "notes": self.notes})
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            save_file(self.tensors, partial, metadata={"archwright_train_state": notes})
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> TrainState:
        """Read a state.

        Raises:
            EvaluationError: if the file is missing, broken or no training state.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                notes = json.loads((file.metadata() or {})["archwright_train_state"])
            return cls(int(notes["epoch"]), tensors, list(notes["history"]), dict(notes["notes"]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise EvaluationError(
                f"{path} is no readable training state: {error}; delete it to train from the start"
            ) from error


def flat(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors on the CPU, contiguous, under `part//name`."""
    return {f"{part}{SEPARATOR}{name}": _plain(value) for name, value in tensors.items()}


def _plain(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`index//name` -> tensor of an optimizer's state."""
    found: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                found[f"{index}{SEPARATOR}{name}"] = torch.as_tensor(value)
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put a saved state back into an optimizer of the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(SEPARATOR)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape and value.ndim:  # in the parameter's own memory layout
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[name] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def restore_net(net: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy saved tensors into a network.

    Raises:
        EvaluationError: if they are of another network.
    """
    prepare = getattr(net, "prepare_for", None)  # a supernet may have been given more parameters
    if prepare is not None:
        prepare(tensors)
    own = net.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) or [k for k in own if own[k].shape != tensors[k].shape]
    if wrong:
        raise EvaluationError(f"the {what} is of another network: {wrong[0]!r} does not fit; start without it")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


__all__ = ["TrainState", "flat", "optimizer_tensors", "restore_net", "restore_optimizer"]
