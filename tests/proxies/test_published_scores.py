"""Our scores against the published ones of NAS-Bench-201, and the published tables of sequence models."""

from __future__ import annotations

import json
import lzma

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from archwright import tasks
from archwright.data import data_file
from archwright.errors import ConfigurationError
from archwright.evaluators.zero_cost import ProxyEvaluator
from archwright.proxies.published import freerea, naslib
from archwright.spaces.nasbench201 import nasbench201

pytestmark = pytest.mark.data


def table(relative: str):
    try:
        return data_file(relative)
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_scores_rank_sixty_cells_as_published():
    table("train/cifar10_20k.npz"), table("nasbench/nb201_zcp_full.npz"), table("nasbench/nb201_zcp_naslib725.json.xz")
    codes, known = naslib()
    listed, full = freerea()
    rows = [int(np.flatnonzero((listed == code).all(axis=1))[0]) for code in codes[:60]]
    names = ("params", "macs", "l2_norm", "synflow", "logsynflow", "naswot", "grad_norm", "snip", "fisher")
    evaluator = ProxyEvaluator(tasks.load("cifar10_20k"), names, batch=32)
    found = evaluator.evaluate(nasbench201().architectures(codes[:60]))
    for name in names:
        for source in (known.get(name), full[name][rows] if name in full else None):
            if source is None:
                continue
            both = np.isfinite(source[:60]) & np.isfinite(found[f"{name}_score"])
            assert both.sum() >= 50
            assert spearmanr(source[:60][both], found[f"{name}_score"][both])[0] >= 0.9, name


def test_two_published_tables_list_the_same_cells():
    table("nasbench/nb201_zcp_full.npz"), table("nasbench/nb201_zcp_naslib725.json.xz")
    codes, known = naslib()
    listed, full = freerea()
    place = {c.tobytes(): i for i, c in enumerate(listed)}
    rows = [place[c.tobytes()] for c in codes]
    both = np.isfinite(full["synflow"][rows]) & (known["synflow"] > 0)
    assert spearmanr(full["synflow"][rows][both], known["synflow"][both])[0] > 0.98


def test_hidden_covariance_ranks_recurrent_networks_better_than_the_jacobian_one():
    with np.load(table("nasbench/rnn_nbnlp_ptb_metrics.npz"), allow_pickle=False) as rnn:
        tau = {name: kendalltau(rnn[name], -rnn["loss"])[0] for name in rnn.files if name.endswith("covariance")}
    layers = [tau[f"layer_{k}_hidden_covariance"] for k in (1, 2, 3)]
    assert min(layers) > 0.2 > abs(tau["jacobian_covariance"])
    assert layers == sorted(layers, reverse=True)


def test_parameters_rank_transformers_better_than_scores_but_for_head_confidence():
    with lzma.open(table("nasbench/bert_nas_glue500.json.xz"), "rt") as file:
        rows = json.load(file)["archs"]
    glue = [row["scores"]["glue"] for row in rows]
    tau = {k: kendalltau([row["metrics"][k] for row in rows], glue)[0] for k in rows[0]["metrics"]}
    better = {k for k in tau if tau[k] > tau["Number of Parameters"]} - {"GLUE Score"}
    assert better == {"Head Confidence"}
    assert all(
        tau[k] > 0 for k in ("Synaptic Diversity", "Synaptic Saliency", "Head Importance", "Activation Distance")
    )
    assert abs(tau["Jacobian Score"]) < 0.1
