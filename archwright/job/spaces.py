"""From the `space` key to a Space: by name, from a Python file, or chosen by the data."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any

from archwright import registry
from archwright.errors import ArchwrightError, ConfigurationError, SpaceError
from archwright.operators.base import Operator, Shape
from archwright.space import Space


def load_space(name: str | Space, input_shape: Shape, outputs: int) -> Space:
    """The space to search.

    Args:
        name: a Space; a registered name; a Python file that defines `space`, a Space or a function of
            (input_shape, outputs); or `auto`: convnet for images and series, mlp for tables.
        input_shape: of the data, without the batch axis.
        outputs: that the task needs.

    Raises:
        ConfigurationError: if the name or file gives no space.
        SpaceError: if the space does not fit the data.
    """
    if isinstance(name, Space):
        return name
    if name == "auto":
        name = "mlp" if len(input_shape) == 1 else "convnet"
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name), input_shape, outputs)
    return _made(registry.get("spaces", name), name, input_shape, outputs)


def _from_file(path: Path, input_shape: Shape, outputs: int) -> Space:
    if not path.is_file():
        raise ConfigurationError(f"there is no file {str(path)!r}; write one with: archwright new cnn --out {path}")
    try:
        names = runpy.run_path(str(path), run_name="archwright_space")
    except ArchwrightError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    if "space" not in names:
        raise ConfigurationError(
            f"{path} must define `space`: a Space, an operator with choices, or a function of (input_shape, outputs)"
        )
    return _made(names["space"], str(path), input_shape, outputs)


def _made(found: Any, name: str, input_shape: Shape, outputs: int) -> Space:
    if callable(found) and not isinstance(found, Space | Operator):
        wanted = inspect.signature(found).parameters
        given = {"input_shape": input_shape, "outputs": outputs}
        missing = [
            n
            for n, p in wanted.items()
            if n not in given and p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        if missing:
            raise ConfigurationError(f"the space {name!r} needs arguments that a run cannot give: {', '.join(missing)}")
        found = found(**{n: v for n, v in given.items() if n in wanted})
    if isinstance(found, Operator):
        found = Space(found)
    if not isinstance(found, Space):
        raise ConfigurationError(
            f"{name!r} gives a {type(found).__name__}; expected a Space or an operator with choices"
        )
    return found


def check_fit(space: Space, input_shape: Shape, outputs: int) -> None:
    """See that networks of the space take the data and give what the task needs.

    Raises:
        SpaceError: with both shapes, if not.
    """
    from archwright.nets.build import program_of

    for architecture in (space.largest(), space.smallest()):
        shape = program_of(architecture, input_shape).shape
        if shape != (outputs,):
            raise SpaceError(
                f"the task needs {outputs} outputs for inputs {input_shape}, a network of this space gives {shape}; "
                f"end it with Classifier({outputs})"
            )
