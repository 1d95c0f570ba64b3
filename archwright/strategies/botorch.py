"""Bayesian optimization with BoTorch's models and acquisition functions, for comparison and for whoever trusts them.

Balandat et al., "BoTorch: A Framework for Efficient Monte-Carlo Bayesian Optimization" (2020). A Gaussian process with
a kernel over ordered decisions (Matern) and one over the others (Hamming), both summed and multiplied (Ru et al., 2020,
section 4.2); log expected improvement (Ament et al., 2023) for one goal, its hypervolume form for several. Candidates
are mutants of the best and random members, ranked by the acquisition. Differences: several candidates of one ask are
the best of one ranking; kernel parameters are fitted anew when the labels have grown by a quarter; a broken limit
counts as a bad result.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archwright.errors import require
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.acquisition import log_gap
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import fitness
from archwright.strategies.predicted import InOrder, around_best, best_codes, starts_of

REFERENCE = 1.1  # of the hypervolume, where 0 and 1 are the best and the worst value so far
SAMPLES = 32  # of the posterior, for several goals
GROWTH = 1.25  # of the labels between two fits of the kernels' parameters


@register(
    "strategies",
    "botorch",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "extra": "botorch",
        "paper": "Balandat et al. 2020, BoTorch: A Framework for Efficient Monte-Carlo Bayesian Optimization",
    },
)
class BoTorchSearch:
    """Evaluates what BoTorch's acquisition function ranks first.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first; by default twice the number of decisions.
        drawn: candidates that are ranked an ask.
        iterations: of a fit of the kernels' parameters at most.

    Raises:
        MissingPackageError: if BoTorch is not installed.
    """

    def __init__(
        self, problem: Problem, *, seed: int = 0, starts: int | None = None, drawn: int = 256, iterations: int = 40
    ) -> None:
        require("botorch", extra="bo", feature="the strategy botorch")
        check_option("drawn", drawn, 1)
        check_option("iterations", iterations, 1)
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._starts, self._drawn, self._iterations = starts_of(problem, starts), drawn, iterations
        self._fitted = 0
        self._states: list[tuple[dict[str, Any], dict[str, Any]]] = []  # of kernels and noises

    @property
    def batch(self) -> int:
        """The random start can be asked for at once."""
        return max(1, self._starts - self._asked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones at the start, then the first of the ranking."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._starts - self._asked
        targets = self._targets()
        if start > 0 or len(targets) < 2:
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            around = around_best(self._space, best_codes(self._memory, 10), self._drawn, rng, changes=2, chance=0.5)
            picked = self._proposals.pick(n, rng, InOrder(around, -self._worth(around.codes, targets)))
        self._asked += len(picked)
        return candidates_of(picked)

    def _targets(self) -> np.ndarray:
        """(n, goals) to be maximized, for the trials that teach something."""
        memory, values = self._memory, fitness(self._memory)
        self._rows = np.flatnonzero(np.isfinite(values))
        if memory.losses.shape[1] == 1:
            return -log_gap(values[self._rows])[:, None] if len(self._rows) else np.zeros((0, 1))
        losses, violation = memory.losses[self._rows], memory.violation[self._rows]
        kept = losses[np.isfinite(losses).all(axis=1) & (violation == 0)]
        low, high = (kept.min(axis=0), kept.max(axis=0)) if len(kept) else (0.0, 1.0)
        scaled = (losses - low) / np.where(high > low, high - low, 1.0)
        return -np.where((violation > 0)[:, None] | ~np.isfinite(scaled), REFERENCE, scaled)

    def _inputs(self, codes: np.ndarray) -> Tensor:
        """(n, D) float64: ordered decisions from 0 to 1, others as numbers of their options, -1 inactive."""
        top = np.array([max(d.size - 1, 1) if d.ordered else 1 for d in self._space.decisions], np.float64)
        return torch.from_numpy(np.where(codes < 0, -1.0, codes / top))

    def _worth(self, codes: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(n,) acquisition of codes (n, D); the global generator of torch is left as it was."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scaling advice and retried fits
            torch.manual_seed(self._seed + self._asks)
            acquisition = self._acquisition(self._models(targets), torch.from_numpy(targets))
            with torch.no_grad():
                return np.asarray(acquisition(self._inputs(codes)[:, None, :]))

    def _models(self, targets: np.ndarray) -> list[Any]:
        """One Gaussian process a goal."""
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MixedSingleTaskGP, SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        x = self._inputs(self._memory.codes[self._rows])
        categories = [d.index for d in self._space.decisions if not d.ordered]
        anew = not self._states or len(x) >= GROWTH * self._fitted
        models: list[Any] = []
        for column in torch.from_numpy(targets).T:
            y = column[:, None]
            model = MixedSingleTaskGP(x, y, cat_dims=categories) if categories else SingleTaskGP(x, y)
            if anew:
                options = {"options": {"maxiter": self._iterations}}
                fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs=options)
            else:
                kernel, noise = self._states[len(models)]
                model.covar_module.load_state_dict(kernel)
                model.likelihood.load_state_dict(noise)
            models.append(model.eval())
        if anew:
            self._fitted = len(x)
            self._states = [(m.covar_module.state_dict(), m.likelihood.state_dict()) for m in models]
        return models

    def _acquisition(self, models: list[Any], targets: Tensor) -> Any:
        """(n, 1, D) -> (n,)."""
        from botorch.acquisition import LogExpectedImprovement
        from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
        from botorch.models import ModelListGP
        from botorch.sampling import SobolQMCNormalSampler
        from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning

        if len(models) == 1:
            return LogExpectedImprovement(models[0], best_f=targets.max())
        reference = torch.full((len(models),), -REFERENCE, dtype=torch.float64)
        return qLogExpectedHypervolumeImprovement(
            ModelListGP(*models),
            ref_point=reference,
            partitioning=FastNondominatedPartitioning(reference, Y=targets),
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=self._seed),
        )
