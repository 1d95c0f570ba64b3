"""The spaces of `spaces.py`, one after the other."""

from __future__ import annotations

import pytest

from archwright.space import Space
from tests.nets.spaces import SPACES


@pytest.fixture(params=sorted(SPACES))
def made(request: pytest.FixtureRequest) -> tuple[Space, tuple[int, ...]]:
    """A space and its input shape."""
    return SPACES[request.param]()
