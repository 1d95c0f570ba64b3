"""Spatial accelerators with three classic dataflows: cycles, buffer and memory traffic, multipliers at work.

- `nvdla`, weight stationary: output channels over clusters, 64 input channels inside a cluster (NVDLA primer).
- `shidiannao`, output stationary: output rows over clusters, 8 output columns inside (Du et al., ISCA 2015).
- `eyeriss`, row stationary: see `row_stationary.py`.

A layer is a sequence of equal steps; in a step every multiplier does the R x S products of its window. Traffic of the
global buffer follows from what changes between steps; traffic of the memory outside is the better of keeping weights
or inputs in the global buffer. `compat="maestro"` reproduces MAESTRO (Kwon et al., MICRO 2019; release of 2022-08):
each step also waits until half of the double-buffered tile has come from outside, as if nothing of it had stayed, and
the overlap of rows between clusters is fetched again.

Known error: no bank conflicts, no layer fusion, no sparsity.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from archwright.costs.arrays import Array, ceil, ceil_div, floor, maximum, minimum, where
from archwright.errors import ConfigurationError, nearest

TEMPLATES = ("nvdla", "shidiannao", "eyeriss")
Compat = Literal["maestro"] | None

NVDLA_CHANNELS = 64  # input channels inside a cluster
SHIDIANNAO_COLUMNS = 8  # output columns inside a cluster


class Conv(NamedTuple):
    """Convolution layers; one field may be an array over layers or designs.

    filters, channels are of one group; a depthwise layer has groups = channels of the tensor and one of each.
    """

    filters: Array
    channels: Array
    kernel_h: Array
    kernel_w: Array
    out_h: Array
    out_w: Array
    stride: Array = 1.0
    groups: Array = 1.0
    batch: Array = 1.0

    @property
    def macs(self) -> Array:
        """Multiply-accumulates."""
        return self.weights * self.out_h * self.out_w * self.batch

    @property
    def weights(self) -> Array:
        """Weight elements."""
        return self.filters * self.channels * self.kernel_h * self.kernel_w * self.groups

    @property
    def inputs(self) -> Array:
        """Input elements that some window touches."""
        down = (self.out_h - 1) * minimum(self.stride, self.kernel_h) + self.kernel_h
        across = (self.out_w - 1) * minimum(self.stride, self.kernel_w) + self.kernel_w
        return down * across * self.channels * self.groups * self.batch

    @property
    def maps(self) -> Array:
        """Elements of the whole input maps, without padding: what is fetched from memory."""
        area = self.out_h * self.stride * self.out_w * self.stride
        return area * self.channels * self.groups * self.batch

    @property
    def outputs(self) -> Array:
        """Output elements."""
        return self.filters * self.groups * self.out_h * self.out_w * self.batch


class Engine(NamedTuple):
    """One accelerator; rates in elements a cycle, sizes in elements.

    lanes: input channels (nvdla) or output columns (shidiannao) inside a cluster, 0 = the template's own.
    image_channels: nvdla unrolls inputs of at most this many channels along the kernel's width.
    """

    pes: Array
    noc_per_cycle: Array
    memory_per_cycle: Array
    l2_size: Array
    lanes: Array = 0.0
    image_channels: Array = 4.0


class Plan(NamedTuple):
    """A layer on a template: steps, tiles of one step, traffic of the global buffer in elements."""

    steps: Array
    step_cycles: Array
    input_tile: Array
    weight_tile: Array
    output_tile: Array
    l2_input_reads: Array
    l2_weight_reads: Array
    l2_output_writes: Array
    active_pes: Array
    nested: Array = 1.0  # a step passes through an inner cluster, which MAESTRO charges one cycle


class Run(NamedTuple):
    """Cycles and accesses in elements; `bound` 0 compute, 1 network on chip, 2 memory."""

    cycles: Array
    l1_accesses: Array
    l2_accesses: Array
    memory_accesses: Array
    utilisation_share: Array
    bound: Array


def nvdla_plan(
    layer: Conv,
    pes: Array,
    channels: Array = NVDLA_CHANNELS,
    *,
    image_channels: Array = 4.0,
    compat: Compat = None,
) -> Plan:
    """Weight stationary: clusters hold one filter each, their multipliers one input channel each.

    Depthwise layers spread groups over all multipliers, since there is nothing to add up. An image of a few
    channels is unrolled along the kernel's width (NVDLA's image input mode), but not in MAESTRO.
    """
    if compat is None:
        image = (layer.channels <= image_channels) & (layer.groups == 1)
        layer = layer._replace(
            channels=layer.channels * where(image, layer.kernel_w, 1.0), kernel_w=where(image, 1.0, layer.kernel_w)
        )
    taps, positions = layer.kernel_h * layer.kernel_w, layer.out_h * layer.out_w
    grouped = layer.groups > 1
    clusters = maximum(floor(pes / channels), 1.0)
    lanes = minimum(pes, channels)
    filters, depth = minimum(clusters, layer.filters), minimum(lanes, layer.channels)
    filter_folds, channel_folds = ceil_div(layer.filters, clusters), ceil_div(layer.channels, lanes)
    group_folds = ceil_div(layer.groups, pes)
    together = minimum(layer.groups, pes)
    per_group = layer.filters * layer.channels
    steps = layer.batch * positions * where(grouped, group_folds * per_group, filter_folds * channel_folds)
    # one line of windows slides over the line's inputs; lines that kernels share are read again
    line = layer.kernel_h * ((layer.out_w - 1) * minimum(layer.stride, layer.kernel_w) + layer.kernel_w)
    rolled = layer.batch * layer.channels * layer.groups * layer.out_h * line
    padded = channel_folds * lanes / maximum(layer.channels, 1.0)
    return Plan(
        steps=steps,
        step_cycles=taps,
        input_tile=taps * where(grouped, together, depth),
        weight_tile=taps * where(grouped, together, filters * depth),
        output_tile=where(grouped, together, filters),
        l2_input_reads=rolled
        * where(grouped, layer.filters, filter_folds * where(layer.channels > lanes, padded, 1.0)),
        l2_weight_reads=layer.weights * where(grouped | (layer.channels <= lanes), 1.0, padded),
        l2_output_writes=layer.outputs * where(grouped, layer.channels, channel_folds),
        active_pes=where(grouped, together, filters * depth),
        nested=where(grouped, 0.0, 1.0),
    )


def shidiannao_plan(layer: Conv, pes: Array, columns: Array = SHIDIANNAO_COLUMNS, *, compat: Compat = None) -> Plan:
    """Output stationary: clusters hold one output row each, their multipliers one column; filters and channels in time.

    The columns of a step are as many as the inputs of `columns` neighbouring windows, so strided layers fill fewer.
    Neighbours pass inputs on, so a step reads each input once; in MAESTRO that holds for the first step only.
    """
    rows = maximum(floor(pes / columns), 1.0)
    at_once = maximum(floor((columns - 1) / layer.stride) + 1, 1.0)
    tall, wide = minimum(rows, layer.out_h), minimum(at_once, layer.out_w)
    row_folds, col_folds = ceil_div(layer.out_h, rows), ceil_div(layer.out_w, at_once)
    pairs = layer.batch * layer.filters * layer.channels * layer.groups
    reach = (wide - 1) * minimum(layer.stride, layer.kernel_w) + layer.kernel_w
    shared = layer.kernel_h - minimum(layer.stride, layer.kernel_h)  # lines that two neighbouring rows have in common
    if compat == "maestro":
        new = minimum(columns, wide * layer.stride)
        first = layer.out_h * layer.kernel_h - (tall - 1) * shared
        read = (col_folds - 1) * new * layer.out_h * layer.kernel_h + reach * first
    else:
        across = (layer.out_w - 1) * minimum(layer.stride, layer.kernel_w) + layer.kernel_w
        read = across * (layer.out_h * layer.kernel_h - (layer.out_h - row_folds) * shared)
    taps = layer.kernel_h * layer.kernel_w
    return Plan(
        steps=pairs * row_folds * col_folds,
        step_cycles=taps,
        input_tile=tall * layer.kernel_h * reach,
        weight_tile=taps,
        output_tile=tall * wide,
        l2_input_reads=pairs * read,
        l2_weight_reads=layer.weights * layer.batch,
        l2_output_writes=layer.outputs * layer.channels,
        active_pes=tall * wide,
    )


def plan(layer: Conv, template: str, engine: Engine, *, compat: Compat = None) -> Plan:
    """The layer on a template.

    Raises:
        ConfigurationError: if the template is not known.
    """
    pes, lanes = engine.pes, engine.lanes
    if template == "nvdla":
        channels = where(lanes == 0, NVDLA_CHANNELS, lanes)
        return nvdla_plan(layer, pes, channels, image_channels=engine.image_channels, compat=compat)
    if template == "shidiannao":
        return shidiannao_plan(layer, pes, where(lanes == 0, SHIDIANNAO_COLUMNS, lanes), compat=compat)
    if template == "eyeriss":
        from archwright.costs.row_stationary import row_stationary_plan

        return row_stationary_plan(layer, pes)
    raise ConfigurationError(
        f"a dataflow template is one of {', '.join(TEMPLATES)}; got {template!r}; {nearest(template, TEMPLATES)}"
    )


def memory_traffic(layer: Conv, l2_size: Array) -> Array:
    """Elements to and from the memory outside.

    The global buffer is shared by inputs and weights and both are double buffered, so a piece is at most a quarter of
    it. If an operand is one piece everything moves once; otherwise the other is read once a piece, and the cheaper of
    the two orders is taken.
    """
    quarter = maximum(l2_size / 4, 1.0)
    keep_weights = layer.weights + layer.maps * ceil_div(layer.weights, quarter)
    keep_inputs = layer.maps + layer.weights * ceil_div(layer.maps, quarter)
    return minimum(keep_weights, keep_inputs) + layer.outputs


def run(layer: Conv, template: str, engine: Engine, *, compat: Compat = None) -> Run:
    """Cycles and accesses of each layer on each engine."""
    laid = plan(layer, template, engine, compat=compat)
    return run_plan(layer, laid, engine, compat=compat)


def run_plan(layer: Conv, laid: Plan, engine: Engine, *, compat: Compat = None) -> Run:
    """Cycles and accesses for a plan that is already made."""
    l2_reads = laid.l2_input_reads + laid.l2_weight_reads
    if compat == "maestro":
        fill = 2 * (laid.input_tile + laid.weight_tile)
        wait = floor(floor(fill / engine.memory_per_cycle) / 2)
        drain = floor(floor(2 * laid.output_tile / engine.memory_per_cycle) / 2)
        network = ceil((laid.input_tile + laid.output_tile) / engine.noc_per_cycle)
        compute = laid.step_cycles + laid.nested
        step = maximum(compute, wait, drain, network)
        cycles = laid.steps * step
        outside = layer.inputs + layer.weights + layer.outputs
        bound = where(step == compute, 0, where(step == network, 1, 2))
        down = (layer.out_h - 1) * layer.stride + layer.kernel_h
        across = (layer.out_w - 1) * layer.stride + layer.kernel_w
        whole = down * across * layer.channels * layer.groups * layer.batch
        ends = whole + layer.weights + layer.outputs * layer.stride**2  # it drains outputs on the input's grid
    else:
        outside = memory_traffic(layer, engine.l2_size)
        compute = laid.steps * laid.step_cycles
        network = (l2_reads + laid.l2_output_writes) / engine.noc_per_cycle
        memory = outside / engine.memory_per_cycle
        start = (laid.input_tile + laid.weight_tile) / engine.memory_per_cycle
        busy = maximum(compute, network, memory)
        cycles = busy + start
        bound = where(busy == compute, 0, where(busy == network, 1, 2))
        ends = layer.inputs + layer.weights + layer.outputs
    l1 = 4 * layer.macs + l2_reads  # two operands and a sum read, a sum written, and what comes from the buffer
    l2 = l2_reads + laid.l2_output_writes + ends
    used = layer.macs / (cycles * engine.pes)
    return Run(cycles, l1, l2, outside, used, bound)
