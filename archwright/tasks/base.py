"""What a task is: data in three splits, a loss, and how outputs are measured.

`loss`, `distill`, `measure` and `measure_batches` are methods, and a batch's inputs may be a tuple, so that tasks with
other outputs (sequences, boxes, graphs) are new subclasses and change nothing here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.errors import ConfigurationError, EvaluationError
from archwright.tasks.split import Augment, Split

Shape = tuple[int, ...]  # without the batch axis
SplitName = Literal["train", "valid", "test"]


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """Data and what is to be learned from it.

    Attributes:
        name: short name for reports.
        input_shape: (C, H, W), (C, L), (L, D) or (F,).
        outputs: size of the network's last axis, or channels of the image that it gives.
        preprocessing: plain JSON values that turn raw data into the network's input and outputs into predictions.
        augmentation: applied to training batches when the recipe asks for it.
    """

    name: str
    input_shape: Shape
    outputs: int
    train: Split
    valid: Split
    test: Split
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augment | None = None

    kind: ClassVar[str]
    metric: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    maximize: ClassVar[bool]

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Scalar training loss of a batch."""

    @abstractmethod
    def distill(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Scalar loss of outputs against a teacher's outputs; no gradient reaches the teacher."""

    @abstractmethod
    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Metrics of a whole split, names with units; `metric` is one of them."""

    def measure_batches(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Metrics from (outputs, targets) a batch; tasks with large outputs accumulate instead."""
        outputs, targets = zip(*pairs, strict=True)
        return self.measure(torch.cat(outputs), torch.cat(targets))

    def baselines(self, split: SplitName = "test") -> dict[str, dict[str, float]]:
        """Metrics of predictions that take no training, by what they are; none where the task knows of none."""
        return {}

    @property
    def output_shape(self) -> Shape:
        """What a network gives for one example."""
        return (self.outputs,)

    def check(self, outputs: Tensor) -> None:
        """See that a network's outputs (b, ..., k) fit the task.

        Raises:
            EvaluationError: if they do not.
        """
        if outputs.ndim != 2 or outputs.shape[-1] != self.outputs:
            raise EvaluationError(
                f"the task {self.name!r} needs outputs of shape (batch, {self.outputs}), the network gives "
                f"{tuple(outputs.shape)}; end the network in a head with {self.outputs} outputs"
            )

    def split(self, name: SplitName) -> Split:
        """A split by its name.

        Raises:
            ConfigurationError: if there is no such split.
        """
        if name not in ("train", "valid", "test"):
            raise ConfigurationError(f"a task has the splits train, valid and test, got {name!r}")
        return getattr(self, name)

    def describe(self) -> dict[str, Any]:
        """Plain values for manifests and reports, with the metrics of `baselines` on the test part if there are any."""
        said = {
            "name": self.name,
            "kind": self.kind,
            "input_shape": list(self.input_shape),
            "outputs": self.outputs,
            "metric": self.metric,
            "maximize": self.maximize,
            "rows": {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)},
            "preprocessing": dict(self.preprocessing),
        }
        baselines = self.baselines()
        return {**said, "baselines": baselines} if baselines else said


@dataclass(frozen=True, eq=False)
class Classification(Task):
    """One class out of several; targets are int64 (n,), `classes[i]` is the original label of class i."""

    classes: tuple[str, ...] = ()

    kind: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy_percent"
    metrics: ClassVar[tuple[str, ...]] = (
        "accuracy_percent",
        "error_percent",
        "balanced_accuracy_percent",
        "cross_entropy_nats",
    )
    maximize: ClassVar[bool] = True

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Cross entropy of logits (b, k)."""
        return F.cross_entropy(outputs, targets, label_smoothing=smoothing)

    def distill(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Cross entropy to the teacher's soft labels at temperature 1."""
        return F.cross_entropy(outputs, teacher.detach().softmax(dim=-1))

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Accuracy, error, mean recall over the classes present, and cross entropy."""
        hit = (outputs.argmax(dim=1) == targets).double()
        count = torch.zeros(self.outputs, dtype=torch.float64, device=outputs.device)
        right = count.clone().index_add_(0, targets, hit)
        count.index_add_(0, targets, torch.ones_like(hit))
        present = count > 0
        accuracy = 100.0 * float(hit.mean())
        return {
            "accuracy_percent": accuracy,
            "error_percent": 100.0 - accuracy,
            "balanced_accuracy_percent": 100.0 * float((right[present] / count[present]).mean()),
            "cross_entropy_nats": float(F.cross_entropy(outputs.double(), targets)),
        }


@dataclass(frozen=True, eq=False)
class Regression(Task):
    """Real values; targets are float32 (n, k) in original units, networks learn and give standardised ones.

    A prediction in original units is `outputs * target_std + target_mean`.
    """

    target_mean: tuple[float, ...] = (0.0,)
    target_std: tuple[float, ...] = (1.0,)

    kind: ClassVar[str] = "regression"
    metric: ClassVar[str] = "rmse"
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")
    maximize: ClassVar[bool] = False

    def standardise(self, targets: Tensor) -> Tensor:
        """Targets (b, k) in units of the training targets' standard deviation."""
        mean = torch.tensor(self.target_mean, device=targets.device, dtype=torch.float32)
        std = torch.tensor(self.target_std, device=targets.device, dtype=torch.float32)
        return (targets - mean) / std

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean squared error of standardised values (b, k); smoothing has no meaning here."""
        return F.mse_loss(outputs, self.standardise(targets))

    def distill(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared distance to the teacher's outputs."""
        return F.mse_loss(outputs, teacher.detach())

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Root mean squared error, mean absolute error (original units) and r2, averaged over targets."""
        std = torch.tensor(self.target_std, dtype=torch.float64, device=outputs.device)
        mean = torch.tensor(self.target_mean, dtype=torch.float64, device=outputs.device)
        truth = targets.double()
        error = outputs.double() * std + mean - truth  # (n, k)
        spread = (truth - truth.mean(dim=0)).square().mean(dim=0).clamp_min(1e-30)
        return {
            "rmse": float(error.square().mean(dim=0).sqrt().mean()),
            "mae": float(error.abs().mean()),
            "r2": float((1.0 - error.square().mean(dim=0) / spread).mean()),
        }


__all__ = ["Classification", "Regression", "Shape", "SplitName", "Task"]
