"""Recipes that run sampled paths of a supernet, whether their chances are learned or uniform; see `recipes`."""

from __future__ import annotations

from archwright.gradient.method import Method, Training
from archwright.gradient.mixings.sampled import SampledPath
from archwright.gradient.recipes import ALPHA, ALPHA_FAST
from archwright.gradient.relaxations.binary_path import BinaryPath
from archwright.gradient.relaxations.gumbel_hard import GumbelHard
from archwright.gradient.relaxations.reinforce import Reinforce
from archwright.gradient.relaxations.single_stage import SingleStage
from archwright.gradient.relaxations.uniform import Uniform
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.coarse_to_fine import CoarseToFine
from archwright.gradient.selections.evolution import Evolution
from archwright.gradient.selections.none import NoSelection
from archwright.gradient.updates.first_order import FirstOrder
from archwright.gradient.updates.multi_path import MultiPath
from archwright.gradient.updates.sandwich import Sandwich
from archwright.registry import register


@register(
    "recipes",
    "gdas",
    labels={"relaxation": "gumbel_hard", "mixing": "sampled", "update": "first_order", "selection": "argmax"},
)
def gdas() -> Method:
    """GDAS: one hard Gumbel path, temperature 10 to 0.1 (Dong and Yang, CVPR 2019; 250 epochs of its public search)."""
    return Method(GumbelHard(), SampledPath(), FirstOrder(), Argmax(), architecture=ALPHA, epochs=250)


@register(
    "recipes",
    "proxylessnas",
    labels={"relaxation": "binary_path", "mixing": "sampled", "update": "first_order", "selection": "argmax"},
)
def proxylessnas() -> Method:
    """ProxylessNAS with gradients: one path in memory, two gates learned (Cai et al., 2019, section 3.2.1).

    Rates are those of its public ImageNet search, 120 epochs after 40 of warm-up; short jobs raise the gates' rate.

    Add `penalties=(ExpectedCost(cost, "latency_ms", "linear"),)` for the latency term.
    """
    alpha = Training("adam", 1e-3, None, betas=(0.0, 0.999), weight_decay=0.0, clip=0.0)
    weights = Training(lr=0.025, lr_end=0.0, weight_decay=4e-5)
    return Method(
        BinaryPath(), SampledPath(), FirstOrder(), Argmax(), weights=weights, architecture=alpha, epochs=160, warmup=40
    )


@register(
    "recipes",
    "proxylessnas-r",
    labels={"relaxation": "reinforce", "mixing": "sampled", "update": "first_order", "selection": "argmax"},
)
def proxylessnas_r() -> Method:
    """ProxylessNAS with REINFORCE (Cai et al., 2019, section 3.3.2)."""
    alpha = Training("adam", 1e-3, None, betas=(0.0, 0.999), weight_decay=0.0, clip=0.0)
    return Method(Reinforce(), SampledPath(), FirstOrder(), Argmax(), architecture=alpha, epochs=160, warmup=40)


@register(
    "recipes",
    "single-stage",
    labels={"relaxation": "single_stage", "mixing": "sampled", "update": "first_order", "selection": "none"},
)
def single_stage() -> Method:
    """Single-stage search: hard, annealed samples, nothing to decode, data cut anew every epoch (row 140)."""
    return Method(
        SingleStage(), SampledPath(), FirstOrder(), NoSelection(), architecture=ALPHA_FAST, split="fresh", keep="last"
    )


@register(
    "recipes",
    "spos",
    labels={"relaxation": "uniform", "mixing": "sampled", "update": "first_order", "selection": "evolution"},
)
def spos() -> Method:
    """Single path one-shot: uniform paths, then evolution over inherited weights (Guo et al., 2020, algorithm 1)."""
    return Method(Uniform(), SampledPath(), FirstOrder(), Evolution(50, 20, 10), train_share=0.8)


@register(
    "recipes",
    "random-ws",
    labels={"relaxation": "uniform", "mixing": "sampled", "update": "first_order", "selection": "evolution"},
)
def random_ws() -> Method:
    """Random search with weight sharing: one generation, the best of it (Li and Talwalkar, 2019)."""
    return Method(Uniform(), SampledPath(), FirstOrder(), Evolution(100, 1, 1))


@register(
    "recipes",
    "fairnas",
    labels={"relaxation": "uniform", "mixing": "sampled", "update": "multi_path", "selection": "evolution"},
)
def fairnas() -> Method:
    """FairNAS: every step trains every option equally often (Chu et al., ICCV 2021, section 3.2).

    The search over its weights is SPOS's evolution, not the many-objective one of the paper.
    """
    return Method(Uniform(), SampledPath(), MultiPath(how="fair"), Evolution(50, 20, 10), train_share=0.8)


@register(
    "recipes",
    "multi-arch",
    labels={"relaxation": "uniform", "mixing": "sampled", "update": "multi_path", "selection": "evolution"},
)
def multi_arch() -> Method:
    """Several architectures in one batch, each on a part of it (ViT-ResNAS, Liao et al., 2021, arXiv:2109.00642).

    The public search gives each architecture 64 images of a batch of 1024, and evolves 20 generations of 75 mutated and
    75 crossed children of the best 75; here 4 architectures share the batch, whatever its size.
    """
    return Method(Uniform(), SampledPath(), MultiPath(4, "parts"), Evolution(150, 20, 75), train_share=0.8)


@register(
    "recipes",
    "bignas",
    labels={"relaxation": "uniform", "mixing": "sampled", "update": "sandwich", "selection": "coarse_to_fine"},
)
def bignas() -> Method:
    """BigNAS: sandwich rule, in-place distillation, coarse-to-fine selection (Yu et al., 2020, section 3)."""
    return Method(Uniform(), SampledPath(), Sandwich(2), CoarseToFine(), train_share=0.8)
