"""Training of a network by a trained one: its outputs as soft labels, its features where wanted (MPCViT)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archwright.errors import ConfigurationError, nearest
from archwright.nets.recipe import Recipe
from archwright.nets.train import Loop, OnEpoch, TrainResult, modes_kept
from archwright.tasks.base import Task
from archwright.tasks.split import Inputs, call


def distill(
    net: nn.Module,
    teacher: nn.Module,
    task: Task,
    recipe: Recipe | None = None,
    *,
    labels: float = 0.0,
    features: str = "",
    strength: float = 1.0,
    seed: int = 0,
    on_epoch: OnEpoch | None = None,
) -> TrainResult:
    """Train a network in place on what a trained one gives out for the same (augmented) inputs.

    The loss is `task.distill` of the outputs (cross entropy to soft labels, Hinton et al., 2015, at temperature 1), and
    `strength` times the mean squared distance of the features of one module (MPCViT, Zeng et al., ICCV 2023, section
    4.3, with its public code's strength 1: last tokens).

    Args:
        net: plain module, task inputs -> (batch, outputs).
        teacher: trained network of the same outputs; it runs in evaluation mode and stays as it is.
        task: data and losses.
        recipe: of the training.
        labels: share of the loss of the true targets, in [0, 1].
        features: name of a module that both networks have, whose outputs are to agree; empty = outputs alone.
        strength: of the features' distance.
        seed: of batches, augmentation and dropout.
        on_epoch: as in `train`.

    Raises:
        ConfigurationError: if the share is not one, or a network lacks the module.
        EvaluationError: if the loss is not finite, or a network does not fit the task.
    """
    recipe = recipe or Recipe()
    if not 0.0 <= labels <= 1.0:
        raise ConfigurationError(f"the share of the true targets lies in [0, 1], got {labels}")
    with modes_kept(teacher), kept_output(net, features) as own, kept_output(teacher, features) as other:
        teacher.eval()

        def step(inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
            with torch.no_grad():
                soft = call(teacher, inputs)
            outputs = call(net, inputs)
            task.check(outputs)
            loss = (1.0 - labels) * task.distill(outputs, soft)
            if labels:
                loss = loss + labels * task.loss(outputs, targets, smoothing=recipe.label_smoothing)
            if features:
                loss = loss + strength * F.mse_loss(own[-1], other[-1])
            loss.backward()
            return loss.detach()

        return Loop(net, task, recipe, seed=seed).run(step, on_epoch=on_epoch)


@contextmanager
def kept_output(net: nn.Module, name: str) -> Iterator[list[Tensor]]:
    """The last output of a module while the block runs, as the only item of a list; nothing is kept for no name.

    Raises:
        ConfigurationError: if there is no such module.
    """
    last: list[Tensor] = []
    if not name:
        yield last
        return
    modules = dict(net.named_modules())
    if name not in modules:
        raise ConfigurationError(f"the network has no module {name!r} to compare; {nearest(name, modules)}")
    handle = modules[name].register_forward_hook(lambda _, __, output: last.__setitem__(slice(None), [output]))
    try:
        yield last
    finally:
        handle.remove()
