"""What a platform is: frozen sections of numbers whose names end in their unit.

Sections are plain dataclasses, so that any field may hold a choice and a platform can be part of a space. Numbers from
files are validated by pydantic when they are read (`loader.parse`). Rates are decimal: 1 GB is 10^9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from archwright.errors import ConfigurationError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Whole = Annotated[int, Field(ge=1)]

_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Compute:
    """Dense peak rates, two operations a multiply-accumulate; None = the platform gives no such rate."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    fp32_ops_per_s: Positive | None = None
    bf16_ops_per_s: Positive | None = None
    fp8_ops_per_s: Positive | None = None
    fp4_ops_per_s: Positive | None = None
    int8_ops_per_s: Positive | None = None
    int4_ops_per_s: Positive | None = None
    vector_ops_per_s: Positive | None = None
    launch_s: NotNegative = 0.0
    efficiency_share: Share = 1.0
    power_w: Positive | None = None


@dataclass(frozen=True)
class Memory:
    """Main memory, and the memory on chip that matters to it."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    b_per_s: Positive
    capacity_b: Positive | None = None
    onchip_b: Positive | None = None
    onchip_b_per_s: Positive | None = None
    efficiency_share: Share = 1.0


@dataclass(frozen=True)
class Link:
    """Connection to other devices of the kind, one direction."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    b_per_s: Positive
    latency_s: NotNegative
    devices: Whole = 1
    efficiency_share: Share = 1.0


@dataclass(frozen=True)
class Array:
    """A systolic array of multiply-accumulate units with three double-buffered memories."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    rows: Whole
    cols: Whole
    dataflow: Literal["os", "ws", "is"]
    frequency_hz: Positive
    input_buffer_b: Positive
    weight_buffer_b: Positive
    output_buffer_b: Positive
    word_b: Positive = 1.0


@dataclass(frozen=True)
class Spatial:
    """Multipliers under a dataflow template, one global buffer; lanes 0 = the template's own."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    template: Literal["nvdla", "shidiannao", "eyeriss"]
    pes: Whole
    frequency_hz: Positive
    noc_b_per_s: Positive
    buffer_b: Positive
    word_b: Positive = 1.0
    lanes: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Fpga:
    """A one-dimensional systolic build and the board's resources."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    pe: Whole
    vec: Whole
    reuse: Whole
    frequency_hz: Positive
    dsp_blocks: Whole
    block_memory_b: Positive
    word_b: Positive = 4.0
    efficiency_share: Share = 1.0


@dataclass(frozen=True)
class Npu:
    """An integer accelerator: what is not integer friendly runs elsewhere, element by element."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    fallback_elements_per_s: Positive
    transfer_b_per_s: Positive
    static_shapes: bool = True
    integer_only: bool = True


@dataclass(frozen=True)
class Energy:
    """Energy per operation and per bit moved, area per unit."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    mac_pj: Positive
    register_pj_per_bit: NotNegative
    buffer_pj_per_bit: NotNegative
    dram_pj_per_bit: NotNegative
    mac_um2: Positive | None = None
    buffer_um2_per_b: Positive | None = None


@dataclass(frozen=True)
class Tiles:
    """How matrix products are cut: output tile, depth step, units that work on tiles at once."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    rows: Whole
    cols: Whole
    depth: Whole
    units: Whole
    multiple: Whole = 64
    head_multiple: Whole = 64


Kind = Literal["roofline", "systolic", "dataflow", "fpga", "npu"]
NEEDS: dict[str, tuple[str, ...]] = {
    "roofline": ("compute", "memory"),
    "systolic": ("array", "memory"),
    "dataflow": ("spatial", "memory"),
    "fpga": ("fpga", "memory"),
    "npu": ("compute", "memory", "npu"),
}
SECTIONS = ("compute", "memory", "link", "array", "spatial", "fpga", "npu", "energy", "tiles")


@dataclass(frozen=True)
class Platform:
    """A device that a cost model can cost.

    sources: (path prefix, where the numbers below it come from). unverified: paths that were not read in a primary
    source.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID
    name: str
    title: str
    kind: Kind
    compute: Compute | None = None
    memory: Memory | None = None
    link: Link | None = None
    array: Array | None = None
    spatial: Spatial | None = None
    fpga: Fpga | None = None
    npu: Npu | None = None
    energy: Energy | None = None
    tiles: Tiles | None = None
    sources: tuple[tuple[str, str], ...] = ()
    unverified: tuple[str, ...] = ()

    def need(self, section: str, cost: str) -> Any:
        """A section that a cost model cannot do without.

        Raises:
            ConfigurationError: if the platform has none.
        """
        found = getattr(self, section)
        if found is None:
            raise ConfigurationError(
                f"the cost model {cost!r} needs a [{section}] section, which the platform {self.name!r} does not have; "
                f"it has {', '.join(s for s in SECTIONS if getattr(self, s) is not None)}"
            )
        return found
