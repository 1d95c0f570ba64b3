"""The module classes of a network as source text that stands on its own.

Each class is printed once with `inspect.getsource`, what it uses before it: other classes, functions and constants of
its module, followed by name through the syntax tree. Only torch and the standard library may be imported.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from archwright.errors import ExportError


def _is_external(module: str) -> bool:
    """Whether a module may be imported by the exported source."""
    root = module.split(".")[0]
    return root == "torch" or root in sys.stdlib_module_names


class ClassPrinter:
    """Collects the source of classes with all they need.

    Attributes:
        imports: lines such as `import math`, without order.
        pieces: name -> source text, in an order in which Python can run them.
    """

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.pieces: dict[str, str] = {}
        self._origins: dict[str, Any] = {}

    def reference(self, cls: type[nn.Module]) -> str:
        """The expression that names a class in the exported source; the class is collected if it is not torch's.

        Raises:
            ExportError: if the class has no source, or its source needs more than torch.
        """
        if cls.__module__.startswith("torch."):
            if getattr(nn, cls.__name__, None) is cls:
                return f"nn.{cls.__name__}"
            self.imports.add(f"from {cls.__module__} import {cls.__name__}")
            return cls.__name__
        self._collect(cls.__name__, cls, cls.__name__)
        return cls.__name__

    def _collect(self, name: str, thing: Any, user: str) -> None:
        if name in self._origins:
            if self._origins[name] is not thing:
                raise ExportError(
                    f"two different things are called {name!r}: {_where(self._origins[name])} and {_where(thing)}; "
                    "rename one, since both must stand in one file"
                )
            return
        self._origins[name] = thing
        if isinstance(thing, types.ModuleType):
            self._module(name, thing, user)
        elif isinstance(thing, type | types.FunctionType):
            self._definition(name, thing, user)
        elif isinstance(thing, types.BuiltinFunctionType) or _is_external(getattr(type(thing), "__module__", "")):
            self._value(name, thing, user)
        else:
            raise ExportError(
                f"{user} uses {name!r}, a {type(thing).__name__}, which cannot be written as source; "
                "keep classes, functions, numbers and texts beside the module class"
            )

    def _module(self, name: str, module: types.ModuleType, user: str) -> None:
        if not _is_external(module.__name__):
            raise ExportError(
                f"{user} uses the module {module.__name__!r}; exported source may import only torch and the standard "
                f"library, so define what {user} needs as classes and functions beside it"
            )
        if module is nn and name == "nn":
            return  # imported anyway
        self.imports.add(f"import {module.__name__}" + (f" as {name}" if module.__name__ != name else ""))

    def _definition(self, name: str, thing: Any, user: str) -> None:
        if _is_external(thing.__module__):
            home: Any = sys.modules.get(thing.__module__)
            importable = home is not None and getattr(home, thing.__name__, None) is thing
            if not importable:
                raise ExportError(f"{user} uses {name!r}, which {thing.__module__} does not hold under that name")
            alias = f" as {name}" if thing.__name__ != name else ""
            self.imports.add(f"from {thing.__module__} import {thing.__name__}{alias}")
            return
        if thing.__name__ != name:
            raise ExportError(f"{user} uses {thing.__name__!r} under the name {name!r}; use its own name")
        try:
            source = textwrap.dedent(inspect.getsource(thing))
        except (OSError, TypeError) as error:
            raise ExportError(
                f"there is no source text of {_where(thing)}: {error}; define it in a file, not at a prompt"
            ) from error
        tree = ast.parse(source)
        for needed in getattr(thing, "needs", ()):
            self._collect(needed.__name__, needed, name)
        spare = _without_needs(source, tree)
        for used in sorted(_names(ast.parse(spare))):
            value = vars(sys.modules[thing.__module__]).get(used, _MISSING)
            if value is not _MISSING and not hasattr(builtins, used):
                self._collect(used, value, name)
        self.pieces[name] = spare.strip()

    def _value(self, name: str, thing: Any, user: str) -> None:
        if isinstance(thing, types.BuiltinFunctionType):
            if thing.__module__ is None or not _is_external(thing.__module__):
                raise ExportError(
                    f"{user} uses the built-in function {name!r}, which the exported source cannot import"
                )
            self.imports.add(f"from {thing.__module__} import {thing.__name__}")
        elif isinstance(thing, torch.dtype):
            self.pieces[name] = f"{name} = {thing!r}"
        else:
            self.pieces[name] = f"{name} = {literal(thing, f'{name} of {user}')}"


_MISSING = object()


def literal(value: Any, what: str) -> str:
    """The text of a value made of numbers, texts, None, tuples, lists and dicts.

    Raises:
        ExportError: if the text does not read back as the same value.
    """
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError, TypeError):
        same = False
    if not same:
        raise ExportError(
            f"{what} is {text}, which is not a literal; a layer takes numbers, texts, None or tuples of them"
        )
    plain = isinstance(value, str) and "\\" not in text and "'" not in value and '"' not in value
    return f'"{value}"' if plain else text


def told_arguments(cls: type[nn.Module], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a call must name: those that differ from the defaults of the class."""
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}

    def same(name: str, value: Any) -> bool:
        known = defaults.get(name, _MISSING)
        return type(known) is type(value) and known == value

    return {name: value for name, value in arguments.items() if not same(name, value)}


def _names(tree: ast.AST) -> set[str]:
    """Names that a piece of source reads, those in annotations included."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _without_needs(source: str, tree: ast.Module) -> str:
    """The source without decorators of the registry and without the `needs` line, which only the printer reads."""
    lines = source.split("\n")
    drop: set[int] = set()
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
            if isinstance(item, ast.Assign | ast.AnnAssign) and any(
                isinstance(t, ast.Name) and t.id == "needs" for t in targets
            ):
                drop |= set(range(item.lineno - 1, item.end_lineno or item.lineno))
    kept = "\n".join(line for i, line in enumerate(lines) if i not in drop)
    while "\n\n\n" in kept:
        kept = kept.replace("\n\n\n", "\n\n")
    return kept


def _where(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', type(thing).__name__)}"
