"""The engine: problems, trials, the run log, executors. The package can be called: `archwright.search(...)`."""

from __future__ import annotations

import sys
import types
from typing import Any


class _CallableModule(types.ModuleType):
    """Lets the package's name be the function that a newcomer calls."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `archwright.api.search`."""
        from archwright.api import search

        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
