"""500 BERT-like networks with eight GLUE scores each.

Serianni & Kalita, "Training-free Neural Architecture Search for RNNs and Transformers" (2023), section 4: a
FlexiBERT-like space (Tuli et al., 2022) of two or four layers, trained as ELECTRA-small. The training-free metrics of
that paper are the table's zero-cost scores. Nine of the 500 repeat another architecture; the first counts. The space is
`flexibert`. The table's numbers of parameters are those of networks of width 256 and feed-forward size 1024 whatever
these choices are: its metrics were computed with the library's defaults for both.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.decode import cached_codes, codes_of
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.spaces.flexibert import flexibert

FILE = "nasbench/bert_nas_glue500.json.xz"
TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst", "sts")
LAYERS = 4
NAMES = {"ffn.hidden": "feed_forward", "ffn.stacks": "stacks"}  # decision -> column


def read_json(path: Path) -> Mapping[str, np.ndarray]:
    """Scores, metrics and the fields of up to four layers as arrays."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        archs: list[dict[str, Any]] = json.load(file)["archs"]
    columns: dict[str, np.ndarray] = {
        "hidden": np.array([a["hidden"] for a in archs]),
        "depth": np.array([len(a["layers"]) for a in archs]),
        "train_s": np.array([a["train_s"] for a in archs], np.float64),
    }
    for i in range(LAYERS):
        layers = [a["layers"][i] if i < len(a["layers"]) else None for a in archs]
        columns[f"operator{i}"] = np.array(
            ["" if x is None else f"{x['operation_type']}/{x['operation_parameter']}" for x in layers]
        )
        for name, key in (
            ("heads", "num_operation_heads"),
            ("feed_forward", "feed_forward_dimension"),
            ("stacks", "num_feed_forward"),
        ):
            columns[f"{name}{i}"] = np.array([0 if x is None else x[key] for x in layers])
    for task in (*TASKS, "glue"):
        columns[task] = np.array([a["scores"][task] for a in archs], np.float64)
    for metric in archs[0]["metrics"]:
        if metric != "GLUE Score":
            values = [a["metrics"].get(metric) for a in archs]
            columns[_plain(metric)] = np.array([np.nan if v is None else v for v in values], np.float64)
    return columns


def _plain(metric: str) -> str:
    return metric.lower().replace(" ", "_")


def _open(file: str) -> ColumnFolder:
    return open_columns(file, read_json)


def _listed() -> np.ndarray:
    return cached_codes(FILE, _decoded, _open)


def _decoded() -> np.ndarray:
    table = _open(FILE)

    def field(decision: Any) -> np.ndarray:
        if decision.label in ("hidden", "depth"):
            return np.asarray(table[decision.label])
        place, name = decision.label.removeprefix("parts.3#").split(".", 1)
        return np.asarray(table[f"{NAMES.get(name, name)}{place}"])

    return codes_of(flexibert(), len(table["hidden"]), field)


@register("benchmarks", "bert-glue500", labels={"listed": 500, "data": "language"})
def bert_glue500() -> TableBenchmark:
    """BERT-like networks on GLUE."""
    observed = {"glue_score": Measured(FILE, "glue", opened=_open)}
    observed |= {f"{task}_score": Measured(FILE, task, opened=_open) for task in TASKS}
    observed["params_m"] = Measured(FILE, "number_of_parameters", 1e-6, opened=_open)
    metrics = (
        "synaptic_diversity", "synaptic_saliency", "activation_distance", "jacobian_score", "head_importance",
        "head_confidence", "head_softmax_confidence",
    )  # fmt: skip
    features = {f"{m}_score": Measured(FILE, m, opened=_open) for m in metrics}
    features |= {f"{m}_normalized_score": Measured(FILE, f"{m}_normalized", opened=_open) for m in metrics}
    return TableBenchmark(
        name="bert-glue500",
        make_space=flexibert,
        listed=_listed,
        observed=observed,
        goal="glue_score",
        seconds={1.0: Measured(FILE, "train_s", opened=_open)},
        features={**features, "parameters_score": Measured(FILE, "number_of_parameters", opened=_open)},
        note=__doc__ or "",
    )
