"""Data sets with their losses and metrics; `load` finds the right reader for a name, a path or torch datasets.

A reader is a function in a file of this folder with a `@register("tasks", name, labels=...)` line. Labels say what it
claims: `suffixes` (of files), `prefix` (before a colon, `hf:mnist`), `folder_with` (a folder that holds one of these
files; an empty list claims the remaining folders).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archwright import registry
from archwright.errors import ConfigurationError, nearest


def load(spec: Any, **options: Any) -> Any:
    """Make a task of nearly anything.

    Args:
        spec: a registered name ("digits"), a path (.npz, .csv, .tsv, .parquet, a folder of images or a Hugging Face
            folder), "hf:name", a Task, two or three torch datasets or loaders, or (x, y) arrays.
        options: what the reader takes, such as `seed`, `valid_share`, `target`, `kind`.

    Returns:
        Task.

    Raises:
        ConfigurationError: if nothing can read the spec, or an option is unknown.
    """
    from archwright.tasks.base import Task

    if isinstance(spec, Task):
        if options:
            raise ConfigurationError(f"a finished task takes no options, got {sorted(options)}")
        return spec
    if isinstance(spec, str | Path):
        reader, arguments = _reader(spec)
        return _call(reader, arguments, options, str(spec))
    if isinstance(spec, tuple | list) and spec:
        return _from_sequence(spec, options)
    raise ConfigurationError(
        f"data must be a name, a path, a Task or two or three datasets, got {type(spec).__name__}; "
        f"known names: {', '.join(_names())}"
    )


def _from_sequence(spec: Any, options: dict[str, Any]) -> Any:
    import numpy as np
    from torch import Tensor

    from archwright.tasks.prepare import Arrays, task_of
    from archwright.tasks.torch_data import from_datasets

    if len(spec) == 2 and all(isinstance(v, np.ndarray | Tensor) for v in spec):
        x, y = (v.detach().cpu().numpy() if isinstance(v, Tensor) else v for v in spec)
        return _call(task_of, (Arrays({"train": x}, {"train": y}, "arrays"),), options, "arrays")
    return _call(from_datasets, (spec,), options, "datasets")


def _names() -> list[str]:
    claims = ("suffixes", "prefix", "folder_with")
    return [n for n, e in registry.entries("tasks").items() if not any(c in e.labels for c in claims)]


def _reader(spec: str | Path) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    entries, text, path = registry.entries("tasks"), str(spec), Path(spec).expanduser()
    if isinstance(spec, str):
        if ":" in text:
            prefix, rest = text.split(":", 1)
            for name, entry in entries.items():
                if entry.labels.get("prefix") == prefix:
                    return registry.get("tasks", name), (rest,)
        if text in registry.names("tasks") and (text not in entries or text in _names()):
            return registry.get("tasks", text), ()
    if path.is_dir():
        claims = {n: e.labels["folder_with"] for n, e in entries.items() if "folder_with" in e.labels}
        marked = [n for n, files in claims.items() if any((path / f).exists() for f in files)]
        fallback = [n for n, files in claims.items() if not files]
        return registry.get("tasks", (marked or fallback)[0]), (path,)
    for name, entry in entries.items():
        if path.suffix.lower() in entry.labels.get("suffixes", ()):
            return registry.get("tasks", name), (path,)
    known = sorted(s for e in entries.values() for s in e.labels.get("suffixes", ()))
    if path.is_file():
        raise ConfigurationError(f"{path} has none of the known suffixes {', '.join(known)}; convert it to one of them")
    raise ConfigurationError(
        f"there is no data set, file or folder {text!r}; {nearest(text, _names())} "
        f"(or a path: a folder of images, or a file of {', '.join(known)})"
    )


def _call(reader: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any], what: str) -> Any:
    known = [p.name for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"the data {what!r} takes no option {option!r}; {nearest(option, known)} (known: {', '.join(known)})"
            )
    return reader(*arguments, **options)


__all__ = ["load"]
