"""Errors of archwright. A message says what was expected, what was got, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArchwrightError(Exception):
    """Root of every error that archwright raises on purpose."""


class SpaceError(ArchwrightError, ValueError):
    """A search space, an architecture or a code is not what it must be."""


class EvaluationError(ArchwrightError, RuntimeError):
    """An architecture could not be evaluated; the run records the trial as failed and goes on."""


class ExportError(ArchwrightError, RuntimeError):
    """A network could not be exported, or the exported file does not compute the same."""


class RunLogError(ArchwrightError, RuntimeError):
    """A run folder cannot be opened, read or written."""


class ConfigurationError(ArchwrightError, ValueError):
    """A file, flag or argument holds something that archwright cannot accept."""


class MissingPackageError(ArchwrightError, ImportError):
    """An optional package is needed for what was asked."""


def nearest(name: str, known: Iterable[str]) -> str:
    """End of an error sentence that names the closest known word, or all of them if there are few.

    >>> nearest("nsga", ["nsga2", "random"])
    "did you mean 'nsga2'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def require(package: str, *, extra: str, feature: str) -> None:
    """Check that an optional package can be imported.

    Raises:
        MissingPackageError: with the extra to install, if it cannot.
    """
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(
            f"{feature} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'archwright[{extra}]'"
        )
