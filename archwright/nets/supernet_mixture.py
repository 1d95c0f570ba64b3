"""Several supernets, each for the architectures that suit its weights: a balanced mixture.

Roshtkhari, Toews and Pedersoli, "Balanced mixture of supernets for learning the CNN pooling architecture", 2023: where
one set of weights cannot serve all architectures (positions of pooling change what every later layer sees), K sets do,
and every architecture is assigned to one of them. Architectures are drawn uniformly, the set of weights by the
architecture's chances; the chances follow the losses, and are balanced so that every set serves equally many. How the
losses are kept (moving averages, filled by the step's own batch) and how often they are balanced is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.nets.active import ActiveUpdate
from archwright.nets.build import Network
from archwright.nets.checkpoint import TrainState
from archwright.nets.recipe import Recipe
from archwright.nets.supernet import Supernet
from archwright.nets.train import Loop, OnEpoch, TrainResult
from archwright.nets.train_supernet import Draws
from archwright.operators.base import Shape
from archwright.space import Architecture, Space
from archwright.tasks.base import Task
from archwright.tasks.split import Inputs

LARGEST = 4096  # members of a space whose chances are kept one by one


class SupernetMixture(nn.Module):
    """K supernets over one space; an architecture runs in the one that it is assigned to.

    Args:
        space: of at most 4096 members.
        input_shapes: of each input, without the batch axis.
        sets: K, how many sets of weights.
        temperature: of the chances, in standard deviations of the losses about each architecture's mean: losses and
            their differences become small while training, and the sets should differ more and more.
        decay: of the moving averages of the losses.

    Raises:
        SpaceError: if the space is too large for a table of chances, or has no network.
    """

    losses: Tensor  # (members, sets) moving averages, above `level`
    level: Tensor  # moving average of all losses
    seen: Tensor  # (members, sets) how often a loss was noted
    chances: Tensor  # (members, sets)

    def __init__(
        self, space: Space, *input_shapes: Shape, sets: int = 4, temperature: float = 0.5, decay: float = 0.8
    ) -> None:
        super().__init__()
        if sets < 1 or space.size() > LARGEST:
            raise SpaceError(
                f"a mixture of supernets needs one set at least and a space of at most {LARGEST} members, got {sets} "
                f"sets and {space.size()} members; restrict the space, or take one Supernet"
            )
        self.space, self.temperature, self.decay = space, temperature, decay
        self.supernets = nn.ModuleList(Supernet(space, *input_shapes) for _ in range(sets))
        members = space.enumerate()
        self._row = {members[i].key: i for i in range(len(members))}
        self.register_buffer("losses", torch.zeros(len(members), sets))
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(len(members), sets))
        self.register_buffer("chances", torch.full((len(members), sets), 1.0 / sets))

    def supernet_of(self, architecture: Architecture, number: int | None = None) -> Supernet:
        """The supernet that an architecture is assigned to, or another one by its number."""
        return self._all()[self.assigned(architecture) if number is None else number]

    def assigned(self, architecture: Architecture) -> int:
        """Number of the likeliest set of an architecture."""
        return int(self.chances[self._row[architecture.key]].argmax())

    def forward(
        self, x: Tensor | tuple[Tensor, ...], architecture: Architecture, indices: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """As `Supernet.forward`."""
        return self.supernet_of(architecture)(x, architecture, indices)

    def subnet(self, architecture: Architecture) -> Network:
        """As `Supernet.subnet`."""
        return self.supernet_of(architecture).subnet(architecture)

    def extract(self, architecture: Architecture, indices: Mapping[str, Tensor] | None = None) -> Network:
        """As `Supernet.extract`."""
        return self.supernet_of(architecture).extract(architecture, indices)

    def _all(self) -> list[Supernet]:
        return [one for one in self.supernets if isinstance(one, Supernet)]

    def reset_active(self) -> None:
        """As `Supernet.reset_active`, for all of them."""
        for one in self._all():
            one.reset_active()

    def active_since_reset(self) -> dict[nn.Parameter, Tensor | None]:
        """As `Supernet.active_since_reset`, for all of them."""
        return {p: mask for one in self._all() for p, mask in one.active_since_reset().items()}

    @torch.no_grad()
    def note(self, architecture: Architecture, number: int, loss: float) -> None:
        """Take a loss of an architecture in one of the sets into its moving average.

        Losses are kept relative to the moving average of all: they fall while training, and what was drawn long ago
        must not look bad for that.
        """
        row = self._row[architecture.key]
        level = loss if float(self.seen.sum()) == 0.0 else float(self.level)
        self.level.fill_(0.98 * level + 0.02 * loss)
        above = loss - level
        old = above if float(self.seen[row, number]) == 0.0 else float(self.losses[row, number])
        self.losses[row, number] = self.decay * old + (1.0 - self.decay) * above
        self.seen[row, number] += 1

    @torch.no_grad()
    def balance(self, rounds: int = 100) -> None:
        """Chances from the losses: softmax over the sets, then every set gets an equal share of all architectures.

        Rows and columns are scaled in turns (Sinkhorn and Knopp, 1967) until both sum to what they should. A loss that
        was never noted counts as the mean of its architecture's others, or of all.
        """
        known = self.seen > 0
        count = known.sum(1, keepdim=True)
        overall = (self.losses * known).sum() / known.sum().clamp_min(1)
        mean = torch.where(count > 0, (self.losses * known).sum(1, keepdim=True) / count.clamp_min(1), overall)
        above = torch.where(known, self.losses, mean).double()
        above = above - above.mean(1, keepdim=True)
        spread = self.temperature * above.square().mean().sqrt().clamp_min(1e-12)
        plan = ((above.amin(1, keepdim=True) - above) / spread).exp()
        share = len(plan) / plan.shape[1]
        for _ in range(rounds):
            plan = plan * (share / plan.sum(0, keepdim=True))
            plan = plan / plan.sum(1, keepdim=True)
        self.chances.copy_(plan)


def train_mixture(
    mixture: SupernetMixture,
    task: Task,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    epochs: int | None = None,
    state: TrainState | None = None,
    on_epoch: OnEpoch | None = None,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Train a mixture of supernets in place, arguments as `train_supernet`; its chances are balanced at the end."""
    recipe = recipe or Recipe()
    loop = Loop(mixture, task, recipe, seed=seed, device=device, state=state)
    step = MixturePath(mixture, task, recipe)
    result = loop.run(step, epochs=epochs, on_epoch=on_epoch, update=ActiveUpdate(mixture))
    mixture.balance()
    return result


@dataclass
class MixturePath:
    """One step of training: a uniformly drawn architecture in a set that is drawn by its chances."""

    supernet: SupernetMixture
    task: Task
    recipe: Recipe

    def __post_init__(self) -> None:
        self.draw = Draws(self.supernet._all()[0])

    def __call__(self, inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """Gradients of the drawn network; its loss is noted, and the chances are balanced from time to time."""
        mixture = self.supernet
        mixture.reset_active()
        architecture = self.draw(rng)
        chances = mixture.chances[mixture._row[architecture.key]].double().cpu().numpy()
        number = int(rng.choice(len(chances), p=chances / chances.sum()))
        outputs = mixture.supernet_of(architecture, number)(inputs, architecture)
        self.task.check(outputs)
        loss = self.task.loss(outputs, targets, smoothing=self.recipe.label_smoothing)
        loss.backward()
        mixture.note(architecture, number, float(loss.detach()))
        if int(mixture.seen.sum()) % len(mixture.chances) == 0:
            mixture.balance()
        return loss.detach()


__all__ = ["MixturePath", "SupernetMixture", "train_mixture"]
