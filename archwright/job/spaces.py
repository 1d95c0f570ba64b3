"""From the `space` key to a Space: by name, from a Python file, or chosen by the data."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from archwright import registry
from archwright.errors import ArchwrightError, ConfigurationError, SpaceError
from archwright.operators.base import Operator, Shape
from archwright.space import Architecture, Space
from archwright.tasks.base import Task
from archwright.tasks.forecasting import Forecasting


def space_for(name: str | Space, task: Task) -> Space:
    """The space to search for a task, see `load_space`."""
    horizon = task.horizon if isinstance(task, Forecasting) else 0
    return load_space(name, task.input_shape, task.outputs, horizon=horizon)


def load_space(name: str | Space, input_shape: Shape, outputs: int, *, horizon: int = 0) -> Space:
    """The space to search.

    Args:
        name: a Space; a registered name; a Python file that defines `space`, a Space or a function of
            (input_shape, outputs), perhaps with `horizon`; or `auto`: convnet for images and series, mlp for tables,
            autoformer_ts for forecasts.
        input_shape: of the data, without the batch axis.
        outputs: that the task needs.
        horizon: rows that a forecast has; 0 = the task is none.

    Raises:
        ConfigurationError: if the name or file gives no space.
        SpaceError: if the space does not fit the data.
    """
    if isinstance(name, Space):
        return name
    if name == "auto":
        name = "autoformer_ts" if horizon else "mlp" if len(input_shape) == 1 else "convnet"
    given = {"input_shape": input_shape, "outputs": outputs} | ({"horizon": horizon} if horizon else {})
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name), given)
    return _made(registry.get("spaces", name), name, given)


def _from_file(path: Path, given: Mapping[str, Any]) -> Space:
    if not path.is_file():
        raise ConfigurationError(f"there is no file {str(path)!r}; write one with: archwright new cnn --out {path}")
    names = vars(_imported(path.resolve()))
    if "space" not in names:
        raise ConfigurationError(
            f"{path} must define `space`: a Space, an operator with choices, or a function of (input_shape, outputs)"
        )
    return _made(names["space"], str(path), given)


_loaded: dict[str, tuple[Path, bytes]] = {}  # module name -> the file it came from, and what that file held


def _imported(path: Path) -> ModuleType:
    """The file as a module of its own name: worker processes find the classes that it and its neighbours define.

    Raises:
        ConfigurationError: if the file cannot be run, or another module has its name.
    """
    name, text = path.stem, path.read_bytes()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    if name in sys.modules:
        if _loaded.get(name) == (path, text):
            return sys.modules[name]
        known = getattr(sys.modules[name], "__file__", None)
        if name not in _loaded and (known is None or Path(known).resolve() != path):
            raise ConfigurationError(f"{path} has the name of another Python module, {name!r}; rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ArchwrightError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    _loaded[name] = path, text
    return module


def _made(found: Any, name: str, given: Mapping[str, Any]) -> Space:
    if callable(found) and not isinstance(found, Space | Operator):
        wanted = inspect.signature(found).parameters
        missing = [
            n
            for n, p in wanted.items()
            if n not in given and p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        if missing:
            raise ConfigurationError(f"the space {name!r} needs arguments that a run cannot give: {', '.join(missing)}")
        try:
            found = found(**{n: v for n, v in given.items() if n in wanted})
        except ArchwrightError:
            raise
        except Exception as error:
            raise ConfigurationError(f"the space {name!r} cannot be made: {type(error).__name__}: {error}") from error
    if isinstance(found, Operator):
        found = Space(found)
    if not isinstance(found, Space):
        raise ConfigurationError(
            f"{name!r} gives a {type(found).__name__}; expected a Space or an operator with choices"
        )
    return found


def check_fit(space: Space, input_shape: Shape, output_shape: Shape) -> str:
    """See that networks of the space take the data and give what the task needs.

    Returns:
        what is wrong with some members; empty if nothing was found. A run goes on without them.

    Raises:
        SpaceError: if no member that was looked at fits.
    """
    from archwright.costs.workload import rows_of

    rng = np.random.default_rng(0)
    some = [space.largest(), space.smallest(), *space.sample(14, rng)]
    faults = [fault_of(a, input_shape, output_shape) for a in some]
    if not any(faults):
        try:
            rows_of(space, space.sample(256, rng).codes, input_shape)
        except SpaceError as error:
            return str(error)
        return ""
    if all(faults):
        faults += [fault_of(a, input_shape, output_shape) for a in space.sample(64, rng)]
    if all(faults):
        raise SpaceError(faults[0])
    return next(fault for fault in faults if fault)


def fault_of(architecture: Architecture, input_shape: Shape, output_shape: Shape) -> str:
    """Why a network cannot be built for the data; empty if it can."""
    from archwright.nets.build import program_of

    try:
        shape = program_of(architecture, input_shape).shape
    except SpaceError as error:
        return str(error)
    if shape == output_shape:
        return ""
    if len(output_shape) > 1:
        return (
            f"the task needs outputs of shape {output_shape} for inputs {input_shape}, a network of this space gives "
            f"{shape}; take a space of networks that end in such an image, and the task's scale"
        )
    return (
        f"the task needs {output_shape[0]} outputs for inputs {input_shape}, a network of this space gives {shape}; "
        f"end it with Classifier({output_shape[0]})"
    )
