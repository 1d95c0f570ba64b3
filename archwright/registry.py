"""Everything with a name: one file per idea, found by scanning the package without importing it.

A file makes its class or function known with one decorator line::

    @register("strategies", "nsga2", labels={"family": "evolution"})
    class NSGA2: ...

`names` and `entries` read the files' syntax trees only, so `archwright list` imports neither torch nor the files;
`get` imports the one file that is needed. Third parties publish with an entry point of the group `archwright.<kind>`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from archwright.errors import ConfigurationError, nearest

T = TypeVar("T")

# kind -> folder below the package
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "operators": "operators",
        "spaces": "spaces",
        "strategies": "strategies",
        "recipes": "gradient",
        "relaxations": "gradient/relaxations",
        "mixings": "gradient/mixings",
        "updates": "gradient/updates",
        "selections": "gradient/selections",
        "evaluators": "evaluators",
        "proxies": "proxies",
        "predictors": "predictors",
        "embeddings": "predictors/embeddings",
        "costs": "costs",
        "tasks": "tasks",
        "benchmarks": "benchmarks",
        "exporters": "export",
    }
)


@dataclass(frozen=True)
class Entry:
    """A registered thing as its file declares it."""

    kind: str
    name: str
    module: str
    summary: str
    labels: Mapping[str, Any] = field(default_factory=dict)


_objects: dict[tuple[str, str], Any] = {}


def register(kind: str, name: str, *, labels: Mapping[str, Any] | None = None) -> Callable[[T], T]:
    """Class or function decorator that makes its object known as `name` of `kind`.

    `kind`, `name` and `labels` must be literals: they are read without running the file.

    Raises:
        ConfigurationError: if the kind is unknown or another object has the name.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"cannot register {name!r}: unknown kind {kind!r}; {nearest(kind, KINDS)}")

    def decorate(thing: T) -> T:
        known = _objects.get((kind, name))
        origin = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
        if known is not None and (known.__module__, known.__qualname__) != origin:
            raise ConfigurationError(
                f"{kind} {name!r} is already {known.__module__}.{known.__qualname__}; choose another name"
            )
        _objects[kind, name] = thing
        return thing

    return decorate


@cache
def _scan(kind: str) -> Mapping[str, Entry]:
    folder = Path(__file__).parent / KINDS[kind]
    package = ".".join([__package__ or "archwright", *Path(KINDS[kind]).parts])
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "@register(" not in text:
            continue
        module = package if path.stem == "__init__" else f"{package}.{path.stem}"
        try:
            nodes = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
            declared = [entry for node in nodes for entry in _declared(node, module) if entry.kind == kind]
        except (SyntaxError, ValueError) as error:  # of this file alone: the others stay usable
            warnings.warn(f"{path} is left out of the {kind}: {error}", RuntimeWarning, stacklevel=3)
            continue
        for entry in declared:
            first = found.setdefault(entry.name, entry)
            if first is not entry:
                warnings.warn(
                    f"{kind} {entry.name!r} is declared in {first.module} and in {module}; the first is used",
                    RuntimeWarning,
                    stacklevel=3,
                )
    return MappingProxyType(found)


def _declared(node: ast.ClassDef | ast.FunctionDef, module: str) -> list[Entry]:
    summary = (ast.get_docstring(node) or "").strip().split("\n")[0]
    entries = []
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "register":
            kind, name = (ast.literal_eval(argument) for argument in mark.args)
            labels: Mapping[str, Any] = next(
                (ast.literal_eval(k.value) for k in mark.keywords if k.arg == "labels"), {}
            )
            entries.append(Entry(kind, name, module, summary, labels))
    return entries


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigurationError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")


def entries(kind: str) -> Mapping[str, Entry]:
    """Name -> entry of everything of one kind in the package; nothing is imported.

    Raises:
        ConfigurationError: if the kind is unknown.
    """
    _check_kind(kind)
    return _scan(kind)


def names(kind: str) -> tuple[str, ...]:
    """Sorted names of one kind, those registered by the running program included."""
    _check_kind(kind)
    live = {name for k, name in _objects if k == kind}
    return tuple(sorted(live | set(_scan(kind))))


def get(kind: str, name: str) -> Any:
    """The class or function registered as `name`; imports its file.

    Raises:
        ConfigurationError: if no such thing is known; the nearest name is given.
    """
    _check_kind(kind)
    if (kind, name) in _objects:
        return _objects[kind, name]
    if name in _scan(kind):
        module = _scan(kind)[name].module
        importlib.import_module(module)
        if (kind, name) not in _objects and module in sys.modules:  # a registry emptied by a reload
            importlib.reload(sys.modules[module])
        return _objects[kind, name]
    for point in importlib.metadata.entry_points(group=f"archwright.{kind}"):
        if point.name == name:
            _objects[kind, name] = point.load()
            return _objects[kind, name]
    singular = kind[:-1] if kind.endswith("s") else kind
    raise ConfigurationError(f"unknown {singular} {name!r}; {nearest(name, names(kind))}")
