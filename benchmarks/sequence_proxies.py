"""Proxies of sequence models on networks built here: recurrent ones of NAS-Bench-NLP, transformers of the GLUE table.

    python benchmarks/sequence_proxies.py                     # about ten minutes on one core
    python benchmarks/sequence_proxies.py --only transformers  # the other part is kept as it was

Recurrent networks: the 345 recipes trained on WikiText-2 (Klyuchnikov et al., 2022), three layers, narrower than the
published 600 units; inputs are WikiText-2 words. Transformers: the 500 BERT-like networks of Serianni & Kalita (2023)
as members of the space `flexibert`, on the same words; the objective of their gradients is to tell the words' first
letter, where theirs was a sum of outputs. Seconds are those of the processor, for all scores of one network together.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from typing import Any

import numpy as np
import pandas
import torch
from common import finish, in_parts
from scipy.stats import kendalltau
from torch import Tensor, nn

from archwright.benchmarks.table import load
from archwright.data import data_file
from archwright.nets import build
from archwright.proxies import score
from archwright.spaces.flexibert import flexibert

WORDS = 2000


def text_batch(samples: int, length: int) -> tuple[Tensor, Tensor]:
    """Word numbers (samples, length) of WikiText-2's validation text, and a class for each: its last word's letter."""
    frame = pandas.read_parquet(data_file("train/wikitext2_valid_test.parquet"))
    words = " ".join(frame["text"].astype(str)).split()[: samples * length * 3]
    listed, numbers = np.unique(words, return_inverse=True)
    first = np.array([w[0].lower() for w in listed])
    letters = np.unique(first, return_inverse=True)[1]
    ids = numbers[: samples * length].reshape(samples, length)
    return torch.from_numpy(ids % WORDS), torch.from_numpy(letters[ids[:, -1]] % 8)


class RecipeCell(nn.Module):
    """One recurrent layer from a recipe: nodes of linear maps, products, sums, blends and activations."""

    is_recurrent = True
    batch_first = True

    def __init__(self, recipe: dict[str, Any], inputs: int, hidden: int) -> None:
        super().__init__()
        self.recipe, self.hidden = recipe, hidden
        self.states = sorted(k for k in recipe if k.removeprefix("h_new_").isdigit())  # others are inner nodes
        self.linear = nn.ModuleDict()
        for name, node in recipe.items():
            if node["op"] == "linear":
                sizes = sum(inputs if i == "x" else hidden for i in node["input"])
                self.linear[name] = nn.Linear(sizes, hidden)
        for p in self.parameters():
            nn.init.uniform_(p, -(hidden**-0.5), hidden**-0.5)
        self.order = self._sorted()

    def _sorted(self) -> list[str]:
        done = {"x", *(f"h_prev_{i}" for i in range(len(self.states) + 3))}
        order: list[str] = []
        while len(order) < len(self.recipe):
            ready = [n for n in self.recipe if n not in done and all(i in done for i in self.recipe[n]["input"])]
            if not ready:
                raise ValueError("the recipe has a cycle")
            order += ready
            done.update(ready)
        return order

    def forward(self, x: Tensor) -> Tensor:
        """(b, l, inputs) -> (b, l, hidden)."""
        state = {f"h_prev_{i}": x.new_zeros(len(x), self.hidden) for i in range(len(self.states))}
        out = []
        for step in x.unbind(1):
            values = {"x": step, **state}
            for name in self.order:
                values[name] = self._node(name, [values[i] for i in self.recipe[name]["input"]])
            state = {f"h_prev_{i}": values[f"h_new_{i}"] for i in range(len(self.states))}
            out.append(values["h_new_0"])
        return torch.stack(out, dim=1)

    def _node(self, name: str, read: list[Tensor]) -> Tensor:
        op = self.recipe[name]["op"]
        if op == "linear":
            return self.linear[name](torch.cat(read, dim=-1))
        if op == "elementwise_prod":
            return torch.stack(read).prod(0)
        if op == "elementwise_sum":
            return torch.stack(read).sum(0)
        if op == "blend":
            return read[0] * read[1] + (1 - read[0]) * read[2]
        kind = {"tanh": torch.tanh, "sigm": torch.sigmoid, "leaky_relu": nn.functional.leaky_relu}
        return kind[op.removeprefix("activation_")](read[0])


class LanguageModel(nn.Module):
    """Embedding, layers, a linear map of the last state."""

    def __init__(self, layers: list[nn.Module], size: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(hidden, 8)

    def forward(self, x: Tensor) -> Tensor:
        """(b, l) -> (b, 8)."""
        return self.head(self.layers(self.embedding(x))[:, -1])


def recurrent(count: int, hidden: int = 128, size: int = 96) -> dict[str, Any]:
    with lzma.open(data_file("nasbench/nbnlp_wikitext2_logs.json.xz"), "rt") as file:
        rows = json.load(file)[:count]
    x, y = text_batch(16, 24)
    names = ("hidden_cov", "jacob_cov", "params")
    found, losses, seconds = [], [], []
    for row in rows:
        done = [v for v in row["val_losses"] if np.isfinite(v)]
        if not done:
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = [RecipeCell(row["recepie"], size if i == 0 else hidden, hidden) for i in range(3)]
            net = LanguageModel(layers, size, hidden)
        start = time.process_time()
        with np.errstate(all="ignore"):
            scores = score(net, x, y, names)
        seconds.append(time.process_time() - start)
        found.append([scores[n] for n in names])
        losses.append(min(done))
    return {
        **taus(names, np.array(found), -np.array(losses)),
        "seconds_a_network": round(float(np.mean(seconds)), 3),
        "seconds_slowest": round(max(seconds), 3),
    }


def taus(names: tuple[str, ...], found: np.ndarray, better: np.ndarray) -> dict[str, Any]:
    out: dict[str, Any] = {"networks": len(better)}
    for name, column in zip(names, found.T, strict=True):
        known = np.isfinite(column)
        tau = round(float(kendalltau(column[known], better[known])[0]), 4) if known.sum() > 2 else None
        out[name] = {"kendall": tau, "known": int(known.sum())}
    return out


STORED = {  # proxy -> column of the table
    "params": "parameters_score",
    "head_confidence": "head_confidence_score",
    "attention_confidence": "head_softmax_confidence_score",
    "head_importance": "head_importance_score",
    "synaptic_diversity": "synaptic_diversity_score",
    "synaptic_saliency": "synaptic_saliency_score",
    "activation_distance": "activation_distance_score",
    "jacob_cov": "jacobian_score_score",
}


def transformers(count: int) -> dict[str, Any]:
    table, (x, y), names = load("bert-glue500"), text_batch(16, 48), tuple(STORED)
    rows = np.arange(len(table.codes))[:count]
    space = flexibert(tuple(x.shape[1:]), 8)
    found, seconds, alone = [], [], dict.fromkeys(names, 0.0)
    for i, code in enumerate(table.codes[rows]):
        net = build(space.architectures(code[None])[0], tuple(x.shape[1:]), seed=0)
        for m in net.modules():
            if isinstance(m, nn.Linear | nn.Embedding):
                nn.init.normal_(m.weight, std=0.02)
        start = time.process_time()
        scores = score(net, x, y, names)
        seconds.append(time.process_time() - start)
        found.append([scores[n] for n in names])
        for name in names if i % 10 == 0 else ():
            start = time.process_time()
            score(net, x, y, (name,))
            alone[name] = max(alone[name], round(time.process_time() - start, 3))
    glue = table.read("glue_score", rows)
    stored = table.free_features(tuple(STORED.values()))[rows]
    ours = taus(names, np.array(found), glue)
    published = {n: round(float(kendalltau(c, glue)[0]), 4) for n, c in zip(names, stored.T, strict=True)}
    return {
        "ours": ours,
        "published": published,
        "seconds_alone_slowest": alone,
        "signs_differ": [n for n in names if ours[n]["kendall"] * published[n] < 0],
        "seconds_a_network": round(float(np.mean(seconds)), 3),
        "seconds_slowest": round(max(seconds), 3),
    }


def published_recurrent() -> dict[str, float]:
    with np.load(data_file("nasbench/rnn_nbnlp_ptb_metrics.npz"), allow_pickle=False) as table:
        names = [n for n in table.files if n.endswith("covariance")]
        return {name: round(float(kendalltau(table[name], -table["loss"])[0]), 4) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recurrent", type=int, default=345)
    parser.add_argument("--transformers", type=int, default=500)
    parser.add_argument("--only", choices=("recurrent", "transformers"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "recurrent": lambda: recurrent(options.recurrent),
        "transformers": lambda: transformers(options.transformers),
    }
    figures = {"published_recurrent_8794": published_recurrent(), **in_parts("sequence_proxies", parts, options.only)}
    finish("sequence_proxies", figures)


if __name__ == "__main__":
    main()
