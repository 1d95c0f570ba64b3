"""One step of a search: what updates work with, and how gradients travel between ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.gradient.core import Core, frozen
from archwright.gradient.distributed import average
from archwright.gradient.penalties.base import Context, Penalty
from archwright.gradient.relaxations.base import Draw, Phase
from archwright.tasks.split import Inputs

Batch = tuple[Inputs, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(eq=False)
class Stepper:
    """Losses and optimizers of a search.

    Attributes:
        core: what is trained.
        loss: (outputs, targets) -> scalar.
        weights: optimizer of the shared weights.
        architecture: optimizer of the architecture parameters; None if there are none to learn.
        penalties: added to the losses.
        clip: largest gradient norm of the weights, 0 = off.
        generator: of this step.
        progress: share of the search that is over.
        autocast: whether losses are computed in bfloat16 autocast.
        captured: whether gradients are memory that the next pass overwrites.
        extra: tensors of an update that belong to the state, such as RARTS's second copy.
    """

    core: Core
    loss: Loss
    weights: torch.optim.Optimizer
    architecture: torch.optim.Optimizer | None
    penalties: Sequence[Penalty] = ()
    clip: float = 5.0
    generator: torch.Generator = field(default_factory=torch.Generator)
    progress: float = 0.0
    autocast: bool = False
    captured: bool = False
    extra: dict[str, Core] = field(default_factory=dict)
    extra_optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None

    def add_copy(self, name: str, core: Core) -> None:
        """Keep a second copy of the weights with an optimizer like the first one's.

        Raises:
            ConfigurationError: if the stepper was not told how to make one.
        """
        if self.make_optimizer is None:
            raise ConfigurationError("an update that keeps a copy of the weights needs Stepper(make_optimizer=...)")
        self.extra[name] = core
        self.extra_optimizers[name] = self.make_optimizer(core.weight_parameters())

    def draw(self, phase: Phase) -> Draw:
        """What a relaxation may use."""
        return Draw(self.generator, self.progress, phase, self.core.blocked or None)

    def precision(self) -> torch.autocast:
        """What losses are computed under."""
        return torch.autocast(self.core.device().type, torch.bfloat16, enabled=self.autocast)

    def evaluate(self, batch: Batch, phase: Phase, *, penalised: bool = True, core: Core | None = None) -> Tensor:
        """Loss of the mixture (of a copy of it) on a batch, with the penalties of the phase."""
        core = core or self.core
        core.progress = self.progress
        inputs, targets = batch
        given = core.weights(self.draw(phase))
        with self.precision():
            outputs = core.outputs(inputs, given)
            loss = self.loss(outputs, targets)
        if not penalised:
            return loss
        context = Context(core, inputs, outputs, given, self.progress)
        for penalty in self.penalties:
            loss = penalty.architecture(loss, context) if phase == "architecture" else penalty.weights(loss, context)
        return loss

    def weights_step(self, batch: Batch) -> Tensor:
        """Train the shared weights on a batch; the loss, detached."""
        with frozen(self.core.architecture_parameters()):
            loss = self.evaluate(batch, "weights")
            self.weights.zero_grad(set_to_none=True)
            loss.backward()
        self.apply_weights()
        return loss.detach()

    def apply_weights(self, core: Core | None = None, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Average over ranks, clip, step."""
        parameters = (core or self.core).weight_parameters()
        average(parameters)
        if self.clip:
            nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], self.clip)
        (optimizer or self.weights).step()
        if self.captured:  # gradients are memory of the graph, which the next pass overwrites
            for p in parameters:
                p.grad = None

    def architecture_step(self, batch: Batch) -> Tensor:
        """Train the architecture parameters on a batch (first order); the loss, detached."""
        with frozen(self.core.weight_parameters()):
            loss = self.evaluate(batch, "architecture")
            self.zero_architecture()
            surrogate = self.core.relaxation.surrogate(loss, self.core.alpha())
            if surrogate.requires_grad:  # a path of zeros alone depends on nothing
                surrogate.backward()
        self.apply_architecture()
        return loss.detach()

    def zero_architecture(self) -> None:
        """Forget the gradients of the architecture parameters."""
        for p in self.core.architecture_parameters():
            p.grad = None

    def apply_architecture(self) -> None:
        """Average over ranks, step, tell the penalties."""
        if self.architecture is None:
            return
        average(self.core.architecture_parameters())
        self.architecture.step()
        self.core.relaxation.settle(self.core.alpha())
        for penalty in self.penalties:
            penalty.stepped(self.core)
