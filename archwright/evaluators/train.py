"""Training from scratch as an evaluator; fidelity is the share of the recipe's epochs."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from archwright.errors import ConfigurationError, EvaluationError
from archwright.nets.build import Network, build
from archwright.nets.checkpoint import TrainState, flat, restore_net
from archwright.nets.recipe import Recipe
from archwright.nets.train import device_of, evaluate, seeded, train
from archwright.registry import register
from archwright.space import Architecture, Architectures
from archwright.tasks.base import SplitName, Task

Columns = dict[str, np.ndarray]
STATES_KEPT = 64


@register("evaluators", "train", labels={"cost": "minutes", "survey": ["acceleration: low fidelity"]})
class TrainEvaluator:
    """Build each network with fresh weights, train it, and measure it on the valid part.

    The schedule always spans all of the recipe's epochs, so training at fidelity 0.25 and later at 1 is the same as
    training at 1 at once: the later call goes on from the state of the earlier one. States are kept in `folder`, or the
    last few in memory.

    A space may hold recipes beside networks: in `{"network": ..., "recipe": {"lr": oneof(...), ...}}` an architecture's
    own values replace those of `recipe` (Dai et al., "FBNetV3", 2021, section 3.1).

    Args:
        task: data, loss and metrics.
        recipe: of every training.
        folder: for states that outlive the process.
        split: where the networks are measured.
        device: where they are trained.
        keep: leave the weights of finished trainings in `folder`, for `network`.

    Raises:
        ConfigurationError: if weights are to be kept and no folder is given.
    """

    deterministic = True

    def __init__(
        self,
        task: Task,
        recipe: Recipe | None = None,
        *,
        folder: str | Path | None = None,
        split: SplitName = "valid",
        device: torch.device | str = "cpu",
        keep: bool = False,
    ) -> None:
        if keep and folder is None:
            raise ConfigurationError("keep=True needs a folder for the weights; give folder=...")
        self.keep = keep
        self.task, self.recipe, self.split, self.device = task, recipe or Recipe(), split, device
        self.metrics: tuple[str, ...] = task.metrics
        self.folder = Path(folder) if folder is not None else None
        self._states: OrderedDict[str, TrainState] = OrderedDict()

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Train and measure n architectures, see `Evaluator.evaluate`."""
        if not 0.0 < fidelity <= 1.0:
            raise ConfigurationError(f"fidelity is the share of the epochs and lies in (0, 1], got {fidelity}")
        rows = [self._one(architectures[i], fidelity, seed) for i in range(len(architectures))]
        return {m: np.array([row[m] for row in rows], dtype=np.float64) for m in self.metrics}

    def recipe_of(self, architecture: Architecture) -> Recipe:
        """The recipe, with the changes that the architecture's tree names under `recipe`.

        Raises:
            ConfigurationError: if they name something that a recipe lacks, or a value that is out of range.
        """
        own = architecture.tree.get("recipe") if isinstance(architecture.tree, Mapping) else None
        if own is None:
            return self.recipe
        known = {f.name for f in fields(Recipe)}
        if not isinstance(own, Mapping) or not set(own) <= known:
            raise ConfigurationError(
                f"the recipe of a space is a dictionary of {sorted(known)}, got {own!r}; correct the space"
            )
        return replace(self.recipe, **own)

    def network(self, architecture: Architecture) -> Network | None:
        """The network with the weights of its last finished training; None if there are none."""
        if self.folder is None or not (path := self._weights(architecture)).is_file():
            return None
        net = build(architecture, self.task.input_shape)
        restore_net(net, TrainState.load(path).part("net"), "trained network")
        return net.to(self.device)

    def forget(self, but: Iterable[Architecture] = ()) -> None:
        """Delete kept weights, except of these."""
        if self.folder is not None:
            held = {self._weights(architecture) for architecture in but}
            for path in self.folder.glob("weights-*.safetensors"):
                if path not in held:
                    path.unlink(missing_ok=True)

    def _weights(self, architecture: Architecture) -> Path:
        if self.folder is None:
            raise ConfigurationError("weights are kept in a folder, and none was given")
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"weights-{architecture.digest}.safetensors"

    def _one(self, architecture: Architecture, fidelity: float, seed: int) -> dict[str, float]:
        recipe = self.recipe_of(architecture)
        epochs = max(1, math.ceil(fidelity * recipe.epochs - 1e-9))
        key = hashlib.sha256(f"{architecture.digest} {seed} {recipe}".encode()).hexdigest()[:32]
        own_seed = int(key[:12], 16)
        with seeded(own_seed, torch.device("cpu")):
            net = build(architecture, self.task.input_shape).to(self.device)
        state = self._state(key)
        if state is not None and state.epoch > epochs:
            state = None  # an earlier point of a finished training: train again
        result = train(net, self.task, recipe, seed=own_seed, epochs=epochs, state=state, device=self.device)
        finished = result.state.epoch == recipe.epochs
        self._keep(key, None if finished else result.state)
        if self.keep and finished:
            TrainState(result.state.epoch, flat("net", net.state_dict())).save(self._weights(architecture))
        values = evaluate(net, self.task, self.split, device=device_of(net))
        missing = [m for m in self.metrics if not np.isfinite(values.get(m, np.nan))]
        if missing:
            raise EvaluationError(f"{missing[0]} of a trained network is {values.get(missing[0])}; lower the rate")
        return values

    def _state(self, key: str) -> TrainState | None:
        if self.folder is None:
            return self._states.get(key)
        path = self.folder / f"{key}.safetensors"
        return TrainState.load(path) if path.is_file() else None

    def _keep(self, key: str, state: TrainState | None) -> None:
        """Keep the state of a training that may go on; None for one that is finished."""
        if state is None:
            self._states.pop(key, None)
            if self.folder is not None:
                (self.folder / f"{key}.safetensors").unlink(missing_ok=True)
        elif self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            state.save(self.folder / f"{key}.safetensors")
        else:
            self._states[key] = state
            while len(self._states) > STATES_KEPT:
                self._states.popitem(last=False)
