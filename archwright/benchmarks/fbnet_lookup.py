"""The FBNet half of HW-NAS-Bench: measured cost of every operator of every layer, summed along a network.

Li et al., "HW-NAS-Bench" (2021), section 3: the pickle maps a name of shapes and arguments to what a device measured,
for each of eight metrics. Here they become a table of 22 layers by nine candidates and what all networks share (stem,
last convolution, pooling, classifier). Sums leave out overlap and fusion between operators, so they read high.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archwright.benchmarks.columns import ColumnFolder
from archwright.errors import ConfigurationError, EvaluationError
from archwright.search.problem import Columns
from archwright.space import Architectures
from archwright.spaces.fbnet import OPERATORS, STAGES

UNITS = {"latency": "latency_ms", "energy": "energy_mj"}
LAYERS = sum(depth for _, depth, _ in STAGES)
STEM = 16


class Sizes(NamedTuple):
    """Macro structure on one data set."""

    size: int
    stem_stride: int
    strides: tuple[int, ...]
    head: int
    classes: int


DATASETS = {
    "cifar100": Sizes(32, 1, (1, 1, 2, 2, 1, 2, 1), 1504, 100),
    "ImageNet": Sizes(224, 2, (1, 2, 2, 2, 1, 2, 1), 1984, 1000),
}


def fbnet_columns(tables: Mapping[str, Mapping[str, float]]) -> Mapping[str, np.ndarray]:
    """Columns `fbnet_DATASET_DEVICE_latency_ms` (22, 9) and, with `_rest`, what all networks pay (1,); energies alike.

    Raises:
        ConfigurationError: if an entry is missing or no number.
    """
    columns: dict[str, np.ndarray] = {}
    for metric, table in tables.items():
        device, _, kind = metric.rpartition("_")
        if kind not in UNITS:
            continue
        for dataset, sizes in DATASETS.items():
            name = f"fbnet_{dataset}_{device}_{UNITS[kind]}"
            layers = [[_entry(table, key, metric) for key in keys] for keys in layer_keys(sizes)]
            columns[name] = np.array(layers, np.float64)
            columns[f"{name}_rest"] = np.array([sum(_entry(table, key, metric) for key in rest_keys(sizes))])
    return columns


def layer_keys(sizes: Sizes) -> Iterator[list[str]]:
    """Published names of the nine candidates of each layer, in the order of `OPERATORS`."""
    before, size = STEM, sizes.size // sizes.stem_stride
    for (channels, depth, _), first in zip(STAGES, sizes.strides, strict=True):
        for i in range(depth):
            stride = first if i == 0 else 1
            yield [_candidate(name, size, before, channels, stride) for name in OPERATORS]
            before, size = channels, size // stride


def _candidate(name: str, size: int, before: int, channels: int, stride: int) -> str:
    shape = f"H{size}_W{size}_Cin{before}_Cout{channels}"
    if name == "skip":
        return f"Skip_{shape}_stride{stride}"
    kernel, expand, *groups = (int(part[1:]) for part in name.split("_"))
    return f"ConvBlock_{shape}_exp{expand}_kernel{kernel}_stride{stride}_group{groups[0] if groups else 1}"


def rest_keys(sizes: Sizes) -> list[str]:
    """Published names of stem, last convolution, pooling and classifier."""
    n, last, head = sizes.size, STAGES[-1][0], sizes.head
    end = n // sizes.stem_stride // int(np.prod(sizes.strides))
    return [
        f"ConvNorm_H{n}_W{n}_Cin3_Cout{STEM}_kernel3_stride{sizes.stem_stride}_group1",
        f"ConvNorm_H{end}_W{end}_Cin{last}_Cout{head}_kernel1_stride1_group1",
        f"AvgP_H{end}_W{end}_Cin{head}_Cout{head}_kernel{end}_stride1",
        f"FC_Cin{head}_Cout{sizes.classes}",
    ]


def _entry(table: Mapping[str, Any], key: str, metric: str) -> float:
    try:
        return float(table[key])
    except (KeyError, TypeError, ValueError):
        found = table.get(key, "nothing") if isinstance(table, Mapping) else type(table).__name__
        raise ConfigurationError(
            f"the FBNet table {metric!r} needs a number for {key!r}, got {found!r}; download HW-NAS-Bench again"
        ) from None


class FBNetLookup:
    """Cheap evaluator of the 9^22 networks of the space `fbnet`.

    Args:
        folder: what `archwright data import` wrote for HW-NAS-Bench.
        dataset: `cifar100` or `ImageNet`.

    Raises:
        ConfigurationError: if the folder has no FBNet columns for the data set.
    """

    deterministic = True
    batched = True
    cheap = True

    def __init__(self, folder: Path | str, dataset: str = "ImageNet") -> None:
        columns = ColumnFolder(Path(folder))
        stem = f"fbnet_{dataset}_"
        found = sorted(c for c in columns if c.startswith(stem) and not c.endswith("_rest"))
        if not found:
            raise ConfigurationError(
                f"{folder} has no FBNet columns for {dataset!r} (known: {', '.join(DATASETS)}); "
                "import the pickle of HW-NAS-Bench"
            )
        self._tables = {c.removeprefix(stem): np.asarray(columns[c]) for c in found}
        self._rest = {c.removeprefix(stem): float(columns[f"{c}_rest"][0]) for c in found}
        self.metrics = tuple(self._tables)

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> (n,) sums over the 22 layers and what every network pays.

        Raises:
            EvaluationError: if the architectures are not 22 layers of nine candidates.
        """
        decisions = architectures.space.decisions
        if [(d.label, d.size) for d in decisions] != [(f"layer{i}", len(OPERATORS)) for i in range(LAYERS)]:
            raise EvaluationError(
                f"expected the space fbnet: {LAYERS} layers of {len(OPERATORS)} candidates, "
                f"got {len(decisions)} decisions; search over registry.get('spaces', 'fbnet')"
            )
        layers = np.arange(LAYERS)
        return {
            metric: table[layers, architectures.codes].sum(axis=1) + self._rest[metric]
            for metric, table in self._tables.items()
        }
