"""Reading platforms: the package's own files, then a user's folder, then any path.

A TOML file holds the sections of `schema.Platform`, a `[sources]` table and a list `unverified`. A number may be
written `{ oneof = [16, 32, 64] }`; the platform is then part of a space. Every number must lie below a path that
`[sources]` names, such as `"compute"` or `"compute.bf16_ops_per_s"`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from archwright.errors import ConfigurationError, nearest
from archwright.platforms.schema import NEEDS, SECTIONS, Platform
from archwright.space.choices import oneof

PACKAGE = Path(__file__).parent
VARIABLE = "ARCHWRIGHT_PLATFORMS"


def folders() -> tuple[Path, ...]:
    """Where platforms are looked for: `ARCHWRIGHT_PLATFORMS`, the user's own, the package's."""
    named = os.environ.get(VARIABLE)
    own = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "archwright" / "platforms"
    return (*((Path(named),) if named else ()), own, PACKAGE)


def names() -> tuple[str, ...]:
    """Sorted names of all platforms that `load` finds."""
    return tuple(sorted({p.stem for folder in folders() if folder.is_dir() for p in folder.glob("*.toml")}))


def load(name: str | Path | Platform) -> Platform:
    """A platform by name, or from a TOML file.

    Raises:
        ConfigurationError: if there is none, or the file is not valid.
    """
    if isinstance(name, Platform):
        return name
    path = Path(name)
    if path.suffix != ".toml":
        found = [f / f"{name}.toml" for f in folders() if (f / f"{name}.toml").is_file()]
        if not found:
            raise ConfigurationError(f"unknown platform {str(name)!r}; {nearest(str(name), names())}")
        path = found[0]
    if not path.is_file():
        raise ConfigurationError(f"no platform file {str(path)!r}; give a name of {', '.join(names())}")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> Platform:
    return parse(path.read_text(encoding="utf-8"), name=path.stem)


def parse(text: str, *, name: str = "platform") -> Platform:
    """A platform from TOML text.

    Raises:
        ConfigurationError: one line that says what is wrong and where.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"platform {name!r} is not valid TOML: {error}") from error
    sources = raw.pop("sources", {})
    if not isinstance(sources, dict) or not all(isinstance(s, str) and s for s in sources.values()):
        raise ConfigurationError(f"platform {name!r}: [sources] maps paths to texts, got {sources!r}")
    choices = dict(_take_choices(raw))
    platform = _validate({"name": name, **raw, "sources": tuple(sources.items())}, name)
    for path, options in choices.items():
        for option in options[1:]:
            _validate(_with(raw, path, option) | {"name": platform.name, "sources": ()}, name)
    _check_sources(raw, sources, platform, name)
    missing = [s for s in NEEDS[platform.kind] if getattr(platform, s) is None]
    if missing:
        raise ConfigurationError(
            f"platform {name!r} of kind {platform.kind!r} needs the section [{missing[0]}], which is missing"
        )
    for (section, field), options in choices.items():
        platform = replace(platform, **{section: replace(getattr(platform, section), **{field: oneof(*options)})})
    return platform


def _take_choices(raw: dict[str, Any]) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """Replace every `{ oneof = [...] }` by its first option and give its place."""
    for section, table in raw.items():
        if not isinstance(table, dict):
            continue
        for field, value in table.items():
            if isinstance(value, dict):
                options = value.get("oneof")
                if set(value) != {"oneof"} or not isinstance(options, list) or not options:
                    raise ConfigurationError(f"{section}.{field} is a number or {{ oneof = [...] }}, got {value!r}")
                table[field] = options[0]
                yield (section, field), options


def _with(raw: Mapping[str, Any], path: tuple[str, str], value: Any) -> dict[str, Any]:
    section, field = path
    return {**raw, section: {**raw[section], field: value}}


def _validate(raw: Mapping[str, Any], name: str) -> Platform:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Platform).validate_python(raw)
    except ValidationError as error:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(error.errors(), key=lambda e: e["type"] not in unknown)  # a misspelt name before what it leaves out
        path = ".".join(str(p) for p in first["loc"] if p not in ("float", "int"))
        got = f", got {first['input']!r}" if not isinstance(first["input"], dict) else ""
        hint = ""
        if first["type"] in unknown:
            section = path.rsplit(".", 1)[0]
            hint = f"; {nearest(path.rsplit('.', 1)[-1], _fields(section))}"
        raise ConfigurationError(f"platform {name!r}: {path}: {first['msg'].lower()}{got}{hint}") from None


def _fields(section: str) -> tuple[str, ...]:
    from dataclasses import fields

    from archwright.platforms import schema

    cls = getattr(schema, section.capitalize(), Platform)
    return tuple(f.name for f in fields(cls))


def _check_sources(raw: Mapping[str, Any], sources: Mapping[str, str], platform: Platform, name: str) -> None:
    paths = [
        f"{section}.{field}"
        for section in SECTIONS
        for field, value in raw.get(section, {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    for path in paths:
        if not any(path == key or path.startswith(f"{key}.") for key in sources):
            raise ConfigurationError(f"platform {name!r}: {path} has no source; add it or its section to [sources]")
    for key in [*sources, *platform.unverified]:
        if not any(path == key or path.startswith(f"{key}.") for path in paths):
            raise ConfigurationError(f"platform {name!r}: {key!r} names no number; {nearest(key, paths)}")
