"""A run as an Optuna study, so that it opens in optuna-dashboard.

The log of a run stays the truth; this writes a copy of its trials into any Optuna storage.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archwright.errors import require
from archwright.search.problem import Problem
from archwright.search.trial import Trial

if TYPE_CHECKING:
    import optuna


def storage_at(path: Path | str) -> optuna.storages.BaseStorage:
    """Optuna's journal storage in a file; `optuna-dashboard FILE` opens it."""
    require("optuna", extra="optuna", feature="a copy of a run for optuna-dashboard")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def to_study(
    problem: Problem, trials: Sequence[Trial], storage: optuna.storages.BaseStorage | str | None = None, *, name: str
) -> optuna.Study:
    """Copy trials into a study.

    Args:
        problem: of the run.
        trials: in any order; failed ones are kept as failed.
        storage: where to; in memory by default.
        name: of the study.

    Raises:
        MissingPackageError: if Optuna is not installed.
    """
    require("optuna", extra="optuna", feature="a copy of a run for optuna-dashboard")
    import optuna

    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize" if g.goal == "maximize" else "minimize" for g in problem.goals],
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # announced as experimental; without it the dashboard shows no names
        study.set_metric_names([g.metric for g in problem.goals])
    study.add_trials([_frozen(problem, trial) for trial in sorted(trials, key=lambda t: t.number)])
    return study


def _frozen(problem: Problem, trial: Trial) -> optuna.trial.FrozenTrial:
    import optuna

    code = trial.candidate.architecture.code.tolist()
    params: dict[str, Any] = {}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    for d, k in zip(problem.space.decisions, code, strict=True):
        if k < 0:
            continue
        shown = [o if isinstance(o, int | float | str | bool) else f"{i}: {o!r}"[:60] for i, o in enumerate(d.options)]
        distributions[d.label] = optuna.distributions.CategoricalDistribution(shown)
        params[d.label] = shown[k]
    values = [trial.metrics.get(g.metric) for g in problem.goals]
    done = trial.state != "failed" and None not in values
    extra: dict[str, Any] = {m: float(v) for m, v in trial.metrics.items()}
    extra |= {"number": trial.number, "state": trial.state, "fidelity": trial.candidate.fidelity}
    state = optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.FAIL
    return optuna.trial.create_trial(
        params=params,
        distributions=distributions,
        values=[float(v) for v in values if v is not None] if done else None,
        state=state,
        user_attrs=extra | ({"error": trial.error} if trial.error else {}),
    )
