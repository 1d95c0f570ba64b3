"""What the TOML file of `archwright codesign` may hold; checked before any work starts.

```toml
subject_to = ["latency_ms<=0.2", "area_mm2<=0.8"]
minimize = "energy_mj"
budget = "2000 trials"

[tasks.digits]                     # accuracies from a table
table = "digits-conv"
input = [1, 8, 8]

[tasks.mine]                       # accuracies from a supernet that is trained first
data = "digits"
space = "convnet"

[[accelerators]]                   # one number, or a list to choose from
pes = [0, 256, 1024]
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from archwright.codesign.design import Technology
from archwright.codesign.joint import Accelerator
from archwright.errors import ConfigurationError
from archwright.job.config import check_as, objectives_of, toml_value
from archwright.search.budget import Budget
from archwright.search.problem import Objective
from archwright.space import oneof

_STRICT = ConfigDict(extra="forbid", frozen=True, validate_default=True)
Template = Literal["nvdla", "shidiannao", "eyeriss"]
Multipliers = Annotated[int, Field(ge=0, le=1 << 20)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TaskConfig(BaseModel):
    """One task: a table, or data with a space whose supernet is trained."""

    model_config = _STRICT
    table: str | None = Field(None, description="registered benchmark that lists the networks' accuracies")
    input: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, description="shape of a table's inputs")
    data: str | None = Field(None, description="a registered task, a file or folder of data, or hf:NAME")
    data_options: dict[str, Any] = Field(default_factory=dict, description="options of the data's reader")
    space: str = Field("auto", description="a registered space, or a Python file that defines `space`")
    supernet_epochs: int = Field(30, ge=1, le=100_000, description="of the supernet")

    @model_validator(mode="after")
    def _one_source(self) -> TaskConfig:
        if (self.table is None) == (self.data is None):
            raise ConfigurationError("a task takes its accuracies from `table` or from `data`; give one of them")
        if self.table is not None and self.input is None:
            raise ConfigurationError(
                f"the table {self.table!r} needs `input`, the shape of its networks' inputs, such as [3, 32, 32]"
            )
        if self.data is not None and self.input is not None:
            raise ConfigurationError("`input` belongs to a table; data bring their own shape")
        return self


class AcceleratorConfig(BaseModel):
    """One sub-accelerator; every field is a value or a list to choose from."""

    model_config = _STRICT
    template: tuple[Template, ...] = ("nvdla", "shidiannao", "eyeriss")
    pes: tuple[Multipliers, ...] = (0, 64, 128, 256, 512, 1024, 2048)
    noc_gb_per_s: tuple[Positive, ...] = (4, 8, 16, 32, 48)
    buffer_kb: tuple[Positive, ...] = (32, 64, 128, 256, 512)

    @field_validator("*", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        several = tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)
        if not several or len(set(several)) < len(several):
            raise ConfigurationError(f"a sub-accelerator's field is a value or a list of distinct ones, got {value!r}")
        return several

    def choices(self) -> Accelerator:
        """The same with choices."""
        values = {name: getattr(self, name) for name in AcceleratorConfig.model_fields}
        return Accelerator(**{n: v[0] if len(v) == 1 else oneof(*v) for n, v in values.items()})


class LimitsConfig(BaseModel):
    """What all sub-accelerators may have together."""

    model_config = _STRICT
    total_pes: Positive | None = None
    total_noc_gb_per_s: Positive | None = None


class CoDesignConfig(BaseModel):
    """Everything that decides a run; the run folder keeps it whole as `run.toml`."""

    model_config = _STRICT
    maximize: tuple[str, ...] = Field(("accuracy_percent",), description="metrics to maximize")
    minimize: tuple[str, ...] = Field((), description="metrics to minimize, such as energy_mj")
    subject_to: tuple[str, ...] = Field((), description="limits, such as latency_ms<=0.3")
    strategy: str = Field("joint", description="joint, or a registered strategy")
    strategy_options: dict[str, Any] = Field(default_factory=dict, description="options of the strategy")
    start: Literal["accurate", "random"] = Field(
        "accurate", description="whether half of the first designs hold the tables' most accurate networks"
    )
    budget: str = Field("1000 trials", description="2m, 90s, 1h, or 200 trials")
    seed: int = Field(0, ge=0)
    out: str = Field("", description="the run folder; empty = runs/ and the time")
    tasks: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], TaskConfig] = Field(
        min_length=1, description="name -> table, or data and space"
    )
    accelerators: tuple[AcceleratorConfig, ...] = Field(
        (AcceleratorConfig(), AcceleratorConfig()), min_length=1, description="with choices; two by default"
    )
    limits: LimitsConfig = Field(LimitsConfig(), description="over all sub-accelerators")
    technology: dict[str, Positive] = Field(default_factory=dict, description="clock, memory and energies")

    @field_validator("maximize", "minimize", "subject_to", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _whole(self) -> CoDesignConfig:
        Budget.parse(self.budget)
        self.objectives()
        self.tech()
        return self

    def objectives(self) -> tuple[Objective, ...]:
        """Goals and limits."""
        return objectives_of(self.maximize, self.minimize, self.subject_to, ("accuracy_percent", True))

    def tech(self) -> Technology:
        """Clock, memory and energies."""
        known = TypeAdapter(Technology)
        unknown = sorted(set(self.technology) - set(Technology.__dataclass_fields__))
        if unknown:
            raise ConfigurationError(
                f"[technology] has no key {unknown[0]!r}; known: {', '.join(Technology.__dataclass_fields__)}"
            )
        return known.validate_python(self.technology)

    def totals(self) -> dict[str, float]:
        """The limits that are given."""
        return self.limits.model_dump(exclude_none=True)


def check(values: Mapping[str, Any], source: str = "the arguments") -> CoDesignConfig:
    """A checked configuration.

    Raises:
        ConfigurationError: one line for the first fault: the key, what it got and what it accepts.
    """
    return check_as(CoDesignConfig, values, source)


def to_toml(config: CoDesignConfig) -> str:
    """The configuration as TOML."""
    lines, tables = ["# Configuration of a co-design run: archwright codesign run.toml", ""], []
    for key, value in config.model_dump(mode="json", exclude_none=True).items():
        if key == "tasks":
            for name, task in value.items():
                plain = {k: v for k, v in task.items() if not isinstance(v, dict)}
                tables += [*_table(f"tasks.{name}", plain)]
                if task["data_options"]:
                    tables += _table(f"tasks.{name}.data_options", task["data_options"])
        elif key == "accelerators":
            for part in value:
                tables += ["", "[[accelerators]]", *(f"{k} = {toml_value(v)}" for k, v in part.items())]
        elif isinstance(value, dict):
            tables += _table(key, value) if value else []
        else:
            lines.append(f"{key} = {toml_value(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    return ["", f"[{name}]", *(f"{k} = {toml_value(v)}" for k, v in values.items())]
