"""Recipes that shrink what they find: masks, bits and kinds of attention beside operators; see `recipes`."""

from __future__ import annotations

from archwright.gradient.method import Method, Training
from archwright.gradient.mixings.entangled import EntangledWeights
from archwright.gradient.mixings.reactivated import ReactivatedWeights
from archwright.gradient.mixings.sparse import SparseWeights
from archwright.gradient.penalties.regularisers import L1, Entropy
from archwright.gradient.recipes import ALPHA
from archwright.gradient.relaxations.scales import Scales
from archwright.gradient.relaxations.simplex import Simplex
from archwright.gradient.relaxations.softmax import Softmax
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.progressive import Progressive
from archwright.gradient.selections.top_share import TopShare
from archwright.gradient.updates.first_order import FirstOrder
from archwright.gradient.updates.single_level import SingleLevel
from archwright.registry import register


@register(
    "recipes",
    "dass",
    labels={"relaxation": "softmax", "mixing": "sparse", "update": "first_order", "selection": "darts_edges"},
)
def dass() -> Method:
    """DASS: cells compared under masks of 99 % sparsity, the highest that is reported (Mousavi et al., 2023).

    The architecture is learned in the last phase, in which the masks are fixed.
    """
    masked = SparseWeights(0.99)
    warmup = round(50 * masked.scored)
    return Method(Softmax(), masked, FirstOrder(), DartsEdges(), architecture=ALPHA, warmup=warmup, keep="last")


@register(
    "recipes",
    "supertickets",
    labels={
        "relaxation": "scales",
        "mixing": "reactivated",
        "update": "single_level",
        "selection": "progressive",
        "penalty": "l1",
    },
)
def supertickets() -> Method:
    """SuperTickets: operators by their scales and weights by their size go in one run (You et al., ECCV 2022).

    80 % sparsity; masks tighten by a tenth at each 14th of the run and regrow in between. Options of least scale go in
    three steps, where the public code removes channels whose scale fell below 1e-3. Rates are ours, for decisions
    among a few operators.
    """
    scales = Training("adam", 3e-3, None, betas=(0.5, 0.999), weight_decay=0.0, clip=0.0)
    return Method(
        Scales(),
        ReactivatedWeights(0.8),
        SingleLevel(),
        Progressive(keep=(0.6, 0.4, 0.01), at=(0.15, 0.3, 0.45)),
        penalties=(L1(1e-3),),
        architecture=scales,
        train_share=0.9,
        keep="last",
    )


@register(
    "recipes",
    "quantnas",
    labels={
        "relaxation": "softmax",
        "mixing": "entangled",
        "update": "first_order",
        "selection": "argmax",
        "penalty": "entropy",
    },
)
def quantnas() -> Method:
    """QuantNAS: bits mixed as noise in one call, entropy that grows (Shvetsov et al., 2022, arXiv:2208.14839).

    For spaces of `quantized_conv` such as `quantnas`, and tasks such as `super_resolution`; rates, entropy 1e-3, 20
    epochs and 9 of warm-up are those of its public code. Its loss is that of the task + strength E[bit operations] /
    scale + the entropy; the second term needs the space's cost, so give both by
    `penalties=(quantnas().penalties[0], ExpectedCost(cost, "bit_operations_gbops", "linear", strength, scale=first))`,
    `first` being the expectation at the start, and strength one of 0, 1e-4, 1e-3, 5e-3 and 1e-2.
    """
    return Method(
        Softmax(),
        EntangledWeights(),
        FirstOrder(),
        Argmax(),
        (Entropy(1e-3, start=9 / 20, total=True),),
        weights=Training("adam", 1e-3, 0.0, weight_decay=3e-8),
        architecture=Training("adam", 3e-4, None, betas=(0.5, 0.999), weight_decay=0.0, clip=0.0),
        epochs=20,
        warmup=9,
        batch=32,
    )


@register(
    "recipes",
    "mpcvit",
    labels={"relaxation": "simplex", "mixing": "entangled", "update": "single_level", "selection": "top_share"},
)
def mpcvit() -> Method:
    """MPCViT: alpha of every head learned with the weights, top mu = 0.5 kept (Zeng et al., ICCV 2023, section 4.2).

    For `headwise_attention`; rates, batch and epochs are those of its public code. Add `penalties=(ExpectedCost(
    Mpc(...), "latency_ms"),)`: as alpha is not negative, that is the l1 norm weighted by what each head costs.
    """
    weights = Training("adam", 5.5e-4, 1e-5, weight_decay=0.0)
    return Method(
        Simplex("last"),
        EntangledWeights(),
        SingleLevel(),
        TopShare(0.5),
        weights=weights,
        architecture=Training("adam", 5.5e-4, 1e-5, weight_decay=0.0, clip=0.0),
        epochs=300,
        batch=128,
        split="valid",
        keep="last",
    )
