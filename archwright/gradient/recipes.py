"""Published methods as combinations of four parts. Each recipe is a function that returns a `Method`.

Hyper-parameters are those of the publications, on CIFAR-10 where several are given; `epochs`, `batch` and every other
setting of a `Method` can be changed by name: `recipe("darts", epochs=10)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from archwright import registry
from archwright.gradient.method import Method, Training
from archwright.gradient.mixings.entangled import EntangledWeights
from archwright.gradient.mixings.masked import MaskedWeights
from archwright.gradient.mixings.outputs import Outputs
from archwright.gradient.mixings.partial_channels import Partial
from archwright.gradient.penalties.regularisers import DirichletAnchor, ZeroOne
from archwright.gradient.penalties.self_distillation import SelfDistillation
from archwright.gradient.relaxations.dirichlet import Dirichlet
from archwright.gradient.relaxations.gumbel import Gumbel
from archwright.gradient.relaxations.max_w import MaxW
from archwright.gradient.relaxations.sigmoid import Sigmoid
from archwright.gradient.relaxations.softmax import Softmax
from archwright.gradient.selections.ablation import Ablation
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.depth_growth import DepthGrowth
from archwright.gradient.selections.perturbation import Perturbation
from archwright.gradient.selections.progressive import Progressive
from archwright.gradient.updates.first_order import FirstOrder
from archwright.gradient.updates.rarts import RARTS
from archwright.gradient.updates.second_order import SecondOrder
from archwright.gradient.updates.single_level import SingleLevel
from archwright.registry import register

ALPHA = Training("adam", 3e-4, None, betas=(0.5, 0.999), weight_decay=1e-3, clip=0.0)
ALPHA_FAST = Training("adam", 6e-4, None, betas=(0.5, 0.999), weight_decay=1e-3, clip=0.0)


def recipe(name: str, **changes: Any) -> Method:
    """A method by its published name, with other settings where given; the warm-up keeps its share of the epochs.

    Of recipes that mask weights, `sparsity` is a setting as well.

    Raises:
        ConfigurationError: if the name or a setting is unknown.
    """
    make: Callable[[], Method] = registry.get("recipes", name)
    method = make()
    if "epochs" in changes and "warmup" not in changes:
        changes["warmup"] = method.warmup * int(changes["epochs"]) // method.epochs
    if "sparsity" in changes and isinstance(method.mixing, MaskedWeights):
        changes["mixing"] = replace(method.mixing, sparsity=changes.pop("sparsity"))
    return method.with_(**changes)


@register(
    "recipes",
    "darts",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "first_order", "selection": "darts_edges"},
)
def darts() -> Method:
    """DARTS, first order (Liu et al., 2019, section 3.1.1)."""
    return Method(Softmax(), Outputs(), FirstOrder(), DartsEdges(), architecture=ALPHA)


@register(
    "recipes",
    "darts-2nd",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "second_order", "selection": "darts_edges"},
)
def darts_second() -> Method:
    """DARTS, second order (Liu et al., 2019, equations 6 to 8)."""
    return Method(Softmax(), Outputs(), SecondOrder(), DartsEdges(), architecture=ALPHA)


@register(
    "recipes",
    "fair-darts",
    labels={
        "relaxation": "sigmoid",
        "mixing": "outputs",
        "update": "first_order",
        "selection": "darts_edges",
        "penalty": "zero-one loss",
    },
)
def fair_darts() -> Method:
    """FairDARTS: independent gates pushed to 0 or 1 (Chu et al., ECCV 2020; rates and weight 10 of its public code).

    The public code has no `none`, whose gate has no gradient but the zero-one loss's, and takes two gates of a node
    that are above 0.85; the rule of DARTS, which leaves `none` out, takes the two strongest.
    """
    weights, alpha = Training(lr=0.005), Training("adam", 3e-3, None, betas=(0.5, 0.999), weight_decay=1e-3, clip=0.0)
    return Method(
        Sigmoid(),
        Outputs(),
        FirstOrder(),
        DartsEdges(),
        penalties=(ZeroOne(10.0),),
        weights=weights,
        architecture=alpha,
        batch=128,
    )


@register(
    "recipes",
    "p-darts",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "first_order", "selection": "depth_growth"},
)
def p_darts() -> Method:
    """P-DARTS: three stages of 25 epochs, the first 10 of each for the weights alone (Chen et al., 2019, section 4.1).

    8, 5, 3 options; a fifth, three fifths and all of the cells between reductions: with `darts(cells=17)` 5, 11 and 17
    cells as published. Skip dropout 0.0, 0.4, 0.7 (CIFAR-10), two skips in the normal cell at most. Stages train
    everything anew as published; `selection=DepthGrowth(inherit=True)` takes weights and architecture parameters over.
    """
    weights = Training(lr=0.025, lr_end=0.0)
    return Method(
        Softmax(),
        Outputs(),
        FirstOrder(),
        DepthGrowth(),
        weights=weights,
        architecture=ALPHA_FAST,
        epochs=75,
        warmup=10,
        batch=96,
        keep="last",
    )


@register(
    "recipes",
    "pc-darts",
    labels={"relaxation": "softmax", "mixing": "partial_channels", "update": "first_order", "selection": "darts_edges"},
)
def pc_darts() -> Method:
    """PC-DARTS: K = 4, edge normalisation, 15 warm-up epochs, batch 256, rate 0.1 (Xu et al., 2020, section 4.2)."""
    weights = Training(lr=0.1, lr_end=0.0)
    return Method(
        Softmax(),
        Partial(4),
        FirstOrder(),
        DartsEdges(),
        weights=weights,
        architecture=ALPHA_FAST,
        batch=256,
        warmup=15,
    )


@register(
    "recipes",
    "drnas",
    labels={
        "relaxation": "dirichlet",
        "mixing": "outputs",
        "update": "first_order",
        "selection": "progressive",
        "penalty": "Dirichlet anchor",
    },
)
def drnas() -> Method:
    """DrNAS: Dirichlet weights, anchor 1e-3, half of the options removed half way (Chen et al., 2021, section 4.1).

    Outputs are mixed on all channels; the published search on the DARTS space also sees 1/6, then 1/4 of the channels
    of a 20-cell network, and warms up for 10 epochs in each half.
    """
    return Method(
        Dirichlet(),
        Outputs(),
        FirstOrder(),
        Progressive(keep=(0.5,), at=(0.5,)),
        penalties=(DirichletAnchor(1e-3),),
        weights=Training(lr=0.1, lr_end=0.0),
        architecture=ALPHA_FAST,
        warmup=10,
    )


@register(
    "recipes",
    "rarts",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "rarts", "selection": "darts_edges"},
)
def rarts() -> Method:
    """RARTS: two copies of the weights instead of a second derivative (Xue et al., 2020, arXiv:2008.03901)."""
    return Method(Softmax(), Outputs(), RARTS(), DartsEdges(), architecture=ALPHA)


@register(
    "recipes",
    "sharpdarts",
    labels={"relaxation": "max_w", "mixing": "outputs", "update": "first_order", "selection": "darts_edges"},
)
def sharpdarts() -> Method:
    """sharpDARTS: max-W weights and cosine power annealing (Hundt et al., 2019, arXiv:1903.09900).

    Rates are those of its public search: 0.025 to 1e-4, order 2, batch 48, 120 epochs (order 10 trains the found net).
    """
    weights = Training(lr=0.025, lr_end=1e-4, schedule="cosine_power", power=2.0)
    return Method(
        MaxW(), Outputs(), FirstOrder(), DartsEdges(), weights=weights, architecture=ALPHA, epochs=120, batch=48
    )


@register(
    "recipes",
    "sd-darts",
    labels={
        "relaxation": "softmax",
        "mixing": "outputs",
        "update": "first_order",
        "selection": "darts_edges",
        "penalty": "self-distillation",
    },
)
def sd_darts() -> Method:
    """SD-DARTS: the mean vote of the last supernets (Zhu et al., 2023, arXiv:2302.05629); three of them are ours."""
    return Method(Softmax(), Outputs(), FirstOrder(), DartsEdges(), (SelfDistillation(3),), architecture=ALPHA)


@register(
    "recipes",
    "darts-pt",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "first_order", "selection": "perturbation"},
)
def darts_pt() -> Method:
    """DARTS-PT: what the supernet loses decides; 5 epochs of tuning between decisions (Wang et al., ICLR 2021)."""
    return Method(Softmax(), Outputs(), FirstOrder(), Perturbation(tuning=5.0), architecture=ALPHA)


@register(
    "recipes",
    "darts-pt-fixed",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "first_order", "selection": "perturbation"},
)
def darts_pt_fixed() -> Method:
    """DARTS-PT over a supernet whose architecture parameters stay equal (Wang et al., 2021, 'fixing alpha')."""
    return darts_pt().with_(warmup=50)


@register(
    "recipes",
    "ab-darts",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "first_order", "selection": "ablation"},
)
def ab_darts() -> Method:
    """AB-DARTS: options go by ablation (Zhang et al., 2025, "AutoFormer-TS", arXiv:2502.13721)."""
    return Method(Softmax(), Outputs(), FirstOrder(), Ablation(), architecture=ALPHA)


@register(
    "recipes",
    "fbnet",
    labels={"relaxation": "gumbel", "mixing": "outputs", "update": "first_order", "selection": "argmax"},
)
def fbnet() -> Method:
    """FBNet: soft Gumbel from 5 to 5 exp(-0.045 x 90), 10 warm-up epochs, 80 % for the weights (Wu et al., 2019).

    Add `penalties=(ExpectedCost(cost, "latency_ms", "fbnet"),)` for the latency term.
    """
    return Method(
        Gumbel(),
        Outputs(),
        FirstOrder(),
        Argmax(),
        weights=Training(lr=0.1, lr_end=0.0, weight_decay=1e-4),
        architecture=Training("adam", 0.01, None, weight_decay=5e-4, clip=0.0),
        epochs=90,
        warmup=10,
        batch=192,
        train_share=0.8,
    )


@register(
    "recipes",
    "tanglenas",
    labels={
        "relaxation": "dirichlet",
        "mixing": "entangled",
        "update": "first_order",
        "selection": "argmax",
        "penalty": "Dirichlet anchor",
    },
)
def tanglenas() -> Method:
    """TangleNAS with DrNAS weights, its default (Sukthankar et al., AutoML 2024; rates of its public DARTS search)."""
    return Method(
        Dirichlet(),
        EntangledWeights(),
        FirstOrder(),
        Argmax(),
        penalties=(DirichletAnchor(1e-3),),
        weights=Training(lr_end=0.0),
        architecture=ALPHA,
    )


@register(
    "recipes",
    "single-level",
    labels={"relaxation": "softmax", "mixing": "outputs", "update": "single_level", "selection": "darts_edges"},
)
def single_level() -> Method:
    """One-level DARTS: all parameters on the same loss (as in StacNAS, Li et al., 2019, arXiv:1909.11926)."""
    return Method(Softmax(), Outputs(), SingleLevel(), DartsEdges(), architecture=ALPHA, train_share=0.9)
