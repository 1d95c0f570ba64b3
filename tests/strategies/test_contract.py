import numpy as np
import pytest

from archwright import registry
from archwright.search.trial import Candidate
from archwright.space import Architectures
from archwright.testing import strategies as contract

# seconds each: models that are fitted by gradients at every ask, and Optuna's own time
LONG = {("botorch", law) for law in ("handles_several_goals", "resumes_where_it_stopped", "stays_inside_where")}
LONG |= {("optuna", law) for law in ("handles_several_goals", "honours_limits")}
CASES = [
    pytest.param(
        name, law, id=f"{name}-{law.__name__}", marks=[pytest.mark.slow] if (name, law.__name__) in LONG else []
    )
    for name in registry.names("strategies")
    for law in contract.LAWS
]


@pytest.mark.parametrize(("name", "law"), CASES)
def test_strategy_keeps_its_contract(name, law):
    reason = contract.excuse(name)
    if reason:
        pytest.skip(reason)
    law(name)


class Forgetful:
    """Draws from a generator of its own that no replay restores, and proposes codes that break every rule."""

    shared = np.random.default_rng(0)

    def __init__(self, problem, *, seed=0):
        self.space = problem.space

    def ask(self, n):
        codes = (self.shared.random((n, len(self.space.sizes))) * self.space.sizes).astype(np.int16)
        return [Candidate(a) for a in Architectures(self.space, codes)]

    def tell(self, trials):
        pass


@pytest.mark.parametrize("law", [contract.resumes_where_it_stopped, contract.stays_inside_where])
def test_contract_catches_a_strategy_that_breaks_it(law, monkeypatch):
    monkeypatch.setitem(registry._objects, ("strategies", "forgetful"), Forgetful)
    with pytest.raises(AssertionError, match="forgetful"):
        law("forgetful")
