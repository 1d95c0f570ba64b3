"""The state of a search: weights, architecture parameters, optimizers, removed options, penalties, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from archwright.errors import EvaluationError
from archwright.gradient.updates.rarts import RARTS
from archwright.nets.checkpoint import TrainState, flat, optimizer_tensors, restore_net, restore_optimizer

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


def state_of(search: GradientSearch) -> TrainState:
    """A copy of everything that the next epoch needs."""
    s = search.stepper
    tensors = flat("core", search.core.state_dict()) | flat("weights", optimizer_tensors(s.weights))
    if s.architecture is not None:
        tensors |= flat("architecture", optimizer_tensors(s.architecture))
    for name, core in s.extra.items():
        tensors |= flat(f"copy {name}", core.supernet.state_dict())
        tensors |= flat(f"copy companion {name}", {} if core.companion is None else core.companion.state_dict())
        tensors |= flat(f"copy optimizer {name}", optimizer_tensors(s.extra_optimizers[name]))
    for i, penalty in enumerate(search.method.penalties):
        tensors |= flat(f"penalty {i}", penalty.tensors())
    notes: dict[str, Any] = {
        "space": search.space.digest,
        "seed": search.seed,
        "method": search.method.describe(),
        "best": search.best,
        "blocked": {path: mask.tolist() for path, mask in search.core.blocked.items()},
        "penalties": [p.state() for p in search.method.penalties],
        "memory": memory_of(search),
    }
    return TrainState(search.epoch, tensors, [dict(r) for r in search.history], notes)


def restore(search: GradientSearch, state: TrainState) -> None:
    """Put a state back.

    Raises:
        EvaluationError: if it is of another search.
    """
    notes, s = state.notes, search.stepper
    for what, now in (("space", search.space.digest), ("seed", search.seed), ("method", search.method.describe())):
        if notes.get(what) != now:
            raise EvaluationError(
                f"the saved search has {what} {notes.get(what)!r}, this one {now!r}; choose another folder"
            )
    stage = search.method.stage_at(max(0, state.epoch - 1))
    if stage != search.stage:
        search.enter(stage, carry=False)
        s = search.stepper
    restore_net(search.core, state.part("core"), "search state")
    restore_optimizer(s.weights, state.part("weights"))
    if s.architecture is not None:
        restore_optimizer(s.architecture, state.part("architecture"))
    copies = state.part("copy rarts")
    if copies:
        twin = RARTS.second_copy(search.core)
        s.add_copy("rarts", twin)
        restore_net(twin.supernet, copies, "search state")
        if twin.companion is not None:
            restore_net(twin.companion, state.part("copy companion rarts"), "search state")
        restore_optimizer(s.extra_optimizers["rarts"], state.part("copy optimizer rarts"))
    blocked = notes["blocked"].items()
    search.core.blocked = {path: torch.tensor(mask, device=search.device) for path, mask in blocked}
    for i, (penalty, values) in enumerate(zip(search.method.penalties, notes["penalties"], strict=True)):
        penalty.load(values)
        penalty.load_tensors(search.core, state.part(f"penalty {i}"))
    memory = getattr(search.method.relaxation, "memory", None)
    if memory is not None:
        memory.update(notes["memory"])
    search.stepper.progress = search.core.progress = state.epoch / search.method.epochs
    search.epoch, search.history, search.best = state.epoch, [dict(r) for r in state.history], notes["best"]


def memory_of(search: GradientSearch) -> dict[str, float]:
    """Plain values that the relaxation remembers."""
    memory = getattr(search.method.relaxation, "memory", {})
    return {k: v for k, v in memory.items() if isinstance(v, float)}
