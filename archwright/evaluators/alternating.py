"""Shared weights that learn from what is asked for: the other half of ENAS, whatever strategy does the asking.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (2018), section 2.2: a phase in which the
shared weights learn on architectures that the controller samples, a phase in which the controller learns from their
validation accuracy, in turns. Here a phase of the controller is one round of candidates, measured with the weights of
the moment, and the weights then learn for an epoch on single paths among them. With the strategy `reinforce` it is
ENAS, with `random` the baseline of Li & Talwalkar (2019), random search with weight sharing. Values drift upwards as
the weights learn; differences: the first weights come from uniform paths, and batch norms are recalibrated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from archwright.errors import ConfigurationError
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets.checkpoint import TrainState
from archwright.nets.recipe import Recipe
from archwright.nets.train_supernet import train_supernet
from archwright.registry import register
from archwright.space import Architectures

Columns = dict[str, np.ndarray]
FILE = "alternating.safetensors"


@register("evaluators", "alternating", labels={"cost": "milliseconds", "survey": ["acceleration: weight sharing"]})
class AlternatingEvaluator:
    """Measure subnets; after every `turn` of them the supernet learns for an epoch on these.

    Args:
        inherited: measures subnets of an untrained supernet on its task.
        recipe: of the shared weights; when its epochs are over, they stay as they are.
        turn: architectures measured between two epochs; the strategy's round, for ENAS.
        warmup: epochs on uniform paths before the first measurement.
        seed: of all that is random.
    """

    deterministic = False  # the same architecture is measured with other weights later

    def __init__(
        self, inherited: InheritedEvaluator, recipe: Recipe, *, turn: int = 10, warmup: int = 1, seed: int = 0
    ) -> None:
        if turn < 1 or not 0 <= warmup <= recipe.epochs:
            raise ConfigurationError(
                f"turn is at least 1 and warmup from 0 to the recipe's {recipe.epochs} epochs, got {turn} and {warmup}"
            )
        self.inherited, self.recipe, self.seed = inherited, recipe, seed
        self.metrics: tuple[str, ...] = inherited.metrics
        self._space, self._turn, self._warmup = inherited.supernet.space, turn, warmup
        self._state: TrainState | None = None
        self._asked = self._space.codes(())
        self._file: Path | None = None

    def prepare(self, folder: Path | None) -> None:
        """Go on with the weights of an earlier part of the run; called before the first trial."""
        if folder is None:
            return
        self._file = Path(folder) / FILE
        if self._file.is_file():
            self._learn(TrainState.load(self._file), 0)

    @property
    def epochs(self) -> int:
        """How many the shared weights have learned for."""
        return 0 if self._state is None else self._state.epoch

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Measure n subnets with the weights of the moment, see `InheritedEvaluator.evaluate`."""
        if self._state is None:
            self._learn(None, self._warmup)
        columns = self.inherited.evaluate(architectures, fidelity=fidelity)
        self._asked = np.concatenate([self._asked, architectures.codes])
        if len(self._asked) >= self._turn:
            asked, self._asked = self._asked, self._asked[:0]
            self._learn(self._state, self.epochs + 1, Architectures(self._space, asked))
        return columns

    def _learn(self, state: TrainState | None, until: int, among: Architectures | None = None) -> None:
        """Single paths, uniform or among some architectures, up to an epoch of the recipe."""
        until = min(until, self.recipe.epochs)
        trained = train_supernet(
            self.inherited.supernet,
            self.inherited.task,
            self.recipe,
            method="single_path",
            seed=self.seed,
            epochs=until,
            state=state,
            among=among,
        )
        self._state = trained.state
        if self._file is not None:
            self._state.save(self._file)
