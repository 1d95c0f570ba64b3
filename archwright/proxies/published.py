"""Published zero-cost scores of NAS-Bench-201, to check the ones computed here against.

`FREEREA`: all 15,625 cells by Cavagnero et al. (2023), mean of 3 initialisations, batch 64. `NASLIB`: 725 cells of
NAS-Bench-Suite-Zero (Krishnakumar et al., 2022), one initialisation, batch 32.
"""

from __future__ import annotations

import ast
import json
import lzma
from collections.abc import Mapping

import numpy as np

from archwright.data import data_file

FREEREA = {"synflow": "log10_synflow", "logsynflow": "logsynflow", "naswot": "naswot"}
NASLIB = {
    "epe_nas": "epe_nas", "fisher": "fisher", "grad_norm": "grad_norm", "grasp": "grasp", "jacob_cov": "jacov",
    "l2_norm": "l2_norm", "naswot": "nwot", "params": "params", "macs": "flops", "plain": "plain", "snip": "snip",
    "synflow": "synflow",
}  # fmt: skip
_OPERATORS = np.array([1, 0, 3, 2, 4])  # of NASLib's skip, none, 3x3, 1x1, pool
_EDGES = [0, 1, 3, 2, 4, 5]  # place of our edges in NASLib's order


def freerea(dataset: str = "c10") -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Codes (15625, 6), and proxy -> scores (15625,), NaN where none is stored; dataset c10, c100 or in16."""
    with np.load(data_file("nasbench/nb201_zcp_full.npz"), allow_pickle=False) as table:
        scores = {ours: table[f"{dataset}_{theirs}"].astype(np.float64) for ours, theirs in FREEREA.items()}
        return table["ops"].astype(np.int16), scores


def naslib(dataset: str = "cifar10") -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Codes (725, 6), and proxy -> scores (725,); dataset cifar10, cifar100 or ImageNet16-120."""
    with lzma.open(data_file("nasbench/nb201_zcp_naslib725.json.xz"), "rt") as file:
        table = json.load(file)[dataset]
    listed = np.array([ast.literal_eval(text) for text in table["arch"]])
    scores = {ours: np.array(table[theirs], dtype=np.float64) for ours, theirs in NASLIB.items()}
    scores["val_accuracy_percent"] = np.array(table["val_accuracy"], dtype=np.float64)
    return _OPERATORS[listed][:, _EDGES].astype(np.int16), scores
