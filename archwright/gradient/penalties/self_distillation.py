"""Self-distillation with voting teachers: flatter minima of the supernet (SD-DARTS)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.errors import ConfigurationError
from archwright.gradient.penalties.base import Context, Penalty
from archwright.nets.flow import Weights

if TYPE_CHECKING:
    from archwright.gradient.core import Core


@dataclass
class SelfDistillation(Penalty):
    """Adds strength * KL(vote || student); the voters are the last supernets with their architecture parameters.

    Zhu et al., "Improving differentiable architecture search via self-distillation", 2023, section 3; the vote is the
    mean of the teachers' probabilities or their majority. Snapshots are taken at the end of an epoch.

    Attributes:
        teachers: how many of the last epochs vote.
        strength: lambda of the loss.
        voting: mean or majority.
        temperature: of both distributions.
    """

    teachers: int = 3
    strength: float = 1.0
    voting: Literal["mean", "majority"] = "mean"
    temperature: float = 1.0
    voters: list[Any] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.teachers < 1 or self.voting not in ("mean", "majority"):
            raise ConfigurationError(
                f"self-distillation needs at least one teacher and voting mean or majority, got {self.teachers}, "
                f"{self.voting!r}"
            )

    @torch.no_grad()
    def vote(self, context: Context) -> Tensor:
        """(batch, classes) probabilities."""
        found = []
        for voter in self.voters:
            outputs = voter.outputs(context.inputs, self._weights(voter, context))
            found.append((outputs / self.temperature).softmax(-1))
        if self.voting == "mean":
            return torch.stack(found).mean(0)
        picks = torch.stack([f.argmax(-1) for f in found])
        return F.one_hot(picks, found[0].shape[-1]).to(found[0]).mean(0)

    def _weights(self, voter: Core, context: Context) -> Weights:
        """The student's path where one is sampled, otherwise the voter's own weights without noise."""
        if voter.relaxation.one_path:
            return Weights(context.weights.values, context.weights.active)
        return voter.expected_weights()

    def _with_vote(self, loss: Tensor, context: Context) -> Tensor:
        if not self.voters:
            return loss
        student = (context.outputs / self.temperature).log_softmax(-1)
        return loss + self.strength * self.temperature**2 * F.kl_div(student, self.vote(context), reduction="batchmean")

    def weights(self, loss: Tensor, context: Context) -> Tensor:
        """Loss of the shared weights with the vote in it."""
        return self._with_vote(loss, context)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """Loss of the architecture parameters with the vote in it."""
        return self._with_vote(loss, context)

    def epoch(self, core: Core) -> None:
        """Take a snapshot."""
        voter = copy.deepcopy(core).requires_grad_(False)
        self.voters.append(voter)
        del self.voters[: -self.teachers]

    def restart(self) -> None:
        """Supernets of another depth have no vote."""
        self.voters.clear()

    def tensors(self) -> dict[str, Tensor]:
        """The voters' tensors."""
        return {f"{i}/{name}": value for i, v in enumerate(self.voters) for name, value in v.state_dict().items()}

    def load_tensors(self, core: Core, tensors: Mapping[str, Tensor]) -> None:
        """Make the voters again."""
        self.voters.clear()
        for i in range(len({name.split("/", 1)[0] for name in tensors})):
            voter = copy.deepcopy(core).requires_grad_(False)
            voter.load_state_dict({n.split("/", 1)[1]: v for n, v in tensors.items() if n.startswith(f"{i}/")})
            self.voters.append(voter)
