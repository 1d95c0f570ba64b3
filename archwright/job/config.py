"""What `run.toml`, the flags of `archwright search` and the arguments of `archwright.search` may hold.

One model, checked before any work starts; every message is one line that names the key and what it accepts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from archwright.errors import ConfigurationError, nearest
from archwright.search.budget import Budget
from archwright.search.problem import Objective, parse_limit
from archwright.units import unit_of

Config = TypeVar("Config", bound=BaseModel)
Backend = Literal["onnxruntime", "torch", "torch-compile"]
Evaluation = Literal["auto", "supernet", "train"]
Latency = Literal["auto", "table", "measured"]
Cache = Literal["code", "functional_hash"]
Training = Literal["auto", "sandwich", "single-path", "front", "progressive"]


class RunConfig(BaseModel):
    """Everything that decides a run; the run folder keeps it whole as `run.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str = Field("auto", description="a registered space, or a Python file that defines `space`")
    data: str = Field("digits", description="a registered task, a file or folder of data, or hf:NAME")
    target: str | None = Field(None, description="column of a table to predict")
    data_options: dict[str, Any] = Field(default_factory=dict, description="options of the data's reader")
    maximize: tuple[str, ...] = Field((), description="metrics to maximize, such as accuracy_percent")
    minimize: tuple[str, ...] = Field((), description="metrics to minimize, such as latency_ms")
    subject_to: tuple[str, ...] = Field((), description="limits, such as latency_ms<=0.3")
    strategy: str = Field("auto", description="a registered strategy")
    strategy_options: dict[str, Any] = Field(default_factory=dict, description="options of the strategy")
    evaluation: Evaluation = Field("auto", description="weights from a supernet, or training from scratch")
    cache: Cache = Field("code", description="train each code once, or each function once; needs evaluation = train")
    training: Training = Field("auto", description="how the supernet is trained; by default as its time allows")
    supernet_epochs: int = Field(60, ge=1, le=100_000, description="of the supernet; fewer if its share of time ends")
    epochs: int = Field(12, ge=1, le=100_000, description="epochs of training from scratch and of fine-tuning")
    latency: Latency = Field("auto", description="latency from a table of operators, or of each network")
    backend: Backend = Field("onnxruntime", description="what runs the networks whose latency counts")
    threads: int = Field(1, ge=1, le=1024, description="threads of the latency measurement")
    batch: int = Field(1, ge=1, description="batch size of the latency measurement")
    budget: str = Field("2m", description="2m, 90s, 1h, or 200 trials")
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=1, le=4096, description="processes that evaluate at the same time")
    executor: Literal["auto", "in-process", "processes", "ray"] = "auto"
    finalists: int | None = Field(
        None, ge=1, le=1000, description="networks that are fine-tuned and re-measured; by default 3, or 8 of a front"
    )
    baseline: bool | None = Field(
        None, description="also run random search, at most as many trials; by default over a supernet"
    )
    device: str = Field("cpu", description="cpu, cuda, cuda:0 ...")
    out: str = Field("", description="the run folder; empty = runs/ and the time")

    @field_validator("maximize", "minimize", "subject_to", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value) if isinstance(value, list) else value

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str) -> str:
        Budget.parse(value)
        return value

    @model_validator(mode="after")
    def _objectives(self) -> RunConfig:
        self.objectives()
        if self.cache == "functional_hash" and self.evaluation != "train":
            raise ValueError(
                f"cache = functional_hash saves trainings and needs evaluation = train, got {self.evaluation!r}"
            )
        return self

    def objectives(self, default: tuple[str, bool] = ("accuracy_percent", True)) -> tuple[Objective, ...]:
        """Goals and limits; bounds on a goal are joined with it.

        Args:
            default: metric and whether it is maximized, where no goal is given.
        """
        return objectives_of(self.maximize, self.minimize, self.subject_to, default)


def objectives_of(
    maximize: Sequence[str], minimize: Sequence[str], subject_to: Sequence[str], default: tuple[str, bool]
) -> tuple[Objective, ...]:
    """Goals and limits; bounds on a goal are joined with it.

    Args:
        maximize: metrics.
        minimize: metrics.
        subject_to: limits as text.
        default: metric and whether it is maximized, where no goal is given.

    Raises:
        ConfigurationError: if a limit cannot be read, or goals and bounds contradict each other.
    """
    goals: dict[str, str] = {}
    for metric in maximize:
        goals[metric] = "maximize"
    for metric in minimize:
        if metric in goals:
            raise ConfigurationError(f"{metric!r} cannot be both minimized and maximized")
        goals[metric] = "minimize"
    if not goals:
        goals[default[0]] = "maximize" if default[1] else "minimize"
    bounds: dict[str, dict[str, float]] = {}
    for text in subject_to:
        limit = parse_limit(text)
        unit_of(limit.metric)
        bound = bounds.setdefault(limit.metric, {})
        for side in ("at_most", "at_least"):
            if getattr(limit, side) is not None:
                bound[side] = getattr(limit, side)
    return (
        *(Objective(m, g, **bounds.get(m, {})) for m, g in goals.items()),  # type: ignore[arg-type]
        *(Objective(m, "limit", **b) for m, b in bounds.items() if m not in goals),
    )


def check(values: Mapping[str, Any], source: str = "the arguments") -> RunConfig:
    """A checked configuration.

    Raises:
        ConfigurationError: one line for the first fault: the key, what it got and what it accepts.
    """
    return check_as(RunConfig, values, source)


def check_as(model: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """A checked configuration of a kind of run; see `check`."""
    for key in values:
        if key not in model.model_fields:
            raise ConfigurationError(f"{source}: unknown key {key!r}; {nearest(key, model.model_fields)}")
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {_sentence(error, model)}") from None


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    fault = error.errors()[0]
    if isinstance(cause := fault.get("ctx", {}).get("error"), Exception):
        return str(cause)
    key = ".".join(str(part) for part in fault["loc"])
    known = model.model_fields.get(str(fault["loc"][0]) if fault["loc"] else "")
    about = f" ({known.description})" if known is not None and known.description else ""
    legal = get_args(known.annotation) if known is not None and fault["type"] == "literal_error" else ()
    if legal:
        return f"{key} must be one of {', '.join(map(repr, legal))}, got {fault['input']!r}"
    return f"{key}{about}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def read_toml(path: str | Path) -> dict[str, Any]:
    """The keys of a TOML file.

    Raises:
        ConfigurationError: if it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} is no TOML: {error}") from None


def to_toml(config: RunConfig) -> str:
    """The configuration as TOML, every key with its meaning."""
    lines = ["# Configuration of an archwright run: archwright search run.toml", ""]
    tables = []
    for key, info in RunConfig.model_fields.items():
        value = getattr(config, key)
        if value is None:
            continue
        if isinstance(value, dict):
            if value:
                tables += ["", f"[{key}]", *(f"{k} = {toml_value(v)}" for k, v in value.items())]
            continue
        lines.append(f"{key} = {toml_value(value)}" + (f"  # {info.description}" if info.description else ""))
    return "\n".join([*lines, *tables]) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return repr(value)
