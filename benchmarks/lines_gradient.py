"""The lines of differentiable and one-shot searches on the benchmarks page."""

from __future__ import annotations

from figures import Line, at, runs_within, seeds_with_a_lower
from lines_sparse import SPARSE

RANKED = (
    ("single_path, 240 epochs", "single path"),
    ("sandwich, 240 epochs", "sandwich"),
    ("k_mixture, 240 epochs", "mixture of four supernets, as many steps in all"),
    ("single_path, 960 epochs", "single path, four times as many steps"),
    ("k_mixture, 960 epochs", "mixture of four supernets, as many steps for each as one path"),
    ("each alone, one seed", "each trained alone, one seed"),
)
LATENCY = (
    ("proxylessnas", "ProxylessNAS's linear term"),
    ("fbnet", "FBNet's factor"),
    ("budget", "augmented Lagrangian"),
)
POOLED = (
    ("1 sets, 40 epochs", "one supernet"),
    ("4 sets, 40 epochs", "mixture of four, as many steps in all"),
    ("4 sets, 160 epochs", "mixture of four, as many steps for each"),
    ("each alone, one seed", "each trained alone, one seed"),
)
FORECASTS = (("etth1", "ETTh1"), ("etth2", "ETTh2"), ("exchange_rate", "exchange rates"))
FOUND = {"found, budget of 4 bits": "4 bits, within its", "found, half the budget of 8 bits": "8 bits, within half its"}
STEPS = {"each": "rounds to each of two bits", "superposed": "superposes the roundings to two bits"}
GRADIENT = (
    Line(
        "one_shot",
        "NAS-Bench-201, CIFAR-10 accuracy of the best recipe, mean of its seeds",
        at("summary", "best_recipe_cifar10_percent"),
        93.5,
        unit=" %",
    ),
    Line(
        "one_shot",
        "the same recipe with fresh seeds",
        at("summary", "best_recipe_with_fresh_seeds", "mean"),
        93.5,
        unit=" %",
    ),
    Line("one_shot", "the same, random cells", at("random_cells", "cifar10", "mean"), unit=" %"),
    Line(
        "one_shot",
        "Largest share of skips that DARTS-PT and PC-DARTS end with",
        at("summary", "largest_skip_share"),
        0.99,
        at_most=True,
    ),
    *(
        Line(
            "one_shot_darts_space",
            f"DARTS space: relative improvement of a short search over random cells, {method}",
            at("methods", method, "relative_improvement", "percent"),
            unit=" %",
        )
        for method in ("darts", "fair-darts")
    ),
    *SPARSE,
    Line(
        "one_shot_sharpness",
        "SD-DARTS: seeds of three with a lower largest eigenvalue, architecture parameters",
        seeds_with_a_lower("architecture"),
        3,
    ),
    Line("one_shot_sharpness", "the same, shared weights", seeds_with_a_lower("weights"), 3),
    *(
        Line(
            "forecasting",
            f"Test error of the transformer that AB-DARTS finds over the default Transformer's: {words}",
            at("series", name, "found_over_default"),
            1.0,
            at_most=True,
            unit="x",
        )
        for name, words in FORECASTS
    ),
    Line("forecasting", "the same: series of three on which it is at most 1", at("series_no_worse"), 2),
    *(
        Line("quantnas", f"QuantNAS: PSNR less a fixed net's at {v} bit operations", at(k, "psnr_db"), 0, unit=" dB")
        for k, v in FOUND.items()
    ),
    *(
        Line("quantnas", f"QuantNAS: step that {v}, over one with noise", at(f"step_{k}_over_noise"), 1, unit="x")
        for k, v in STEPS.items()
    ),
    Line(
        "one_shot_rarts",
        "RARTS step over a second-order step",
        at("rarts_over_second_order"),
        0.5,
        at_most=True,
        unit="x",
    ),
    *(
        Line(
            "one_shot_budget",
            f"Latency targets met within 5 % when measured again, share of five runs: {words}",
            runs_within(form),
            100,
            unit=" %",
        )
        for form, words in LATENCY
    ),
    *(
        Line(
            "bignas",
            f"Networks cut from a BigNAS supernet, accuracy below the same networks trained alone, {words}: mean gap",
            at("data", data, "gap_points", "mean"),
            1.5,
            at_most=True,
            unit=" points",
        )
        for data, words in (("digits", "digits"), ("cifar10_20k", "CIFAR-10 at 16 pixels"))
    ),
    *(
        Line(
            "one_shot_ranking",
            f"Kendall's tau of inherited accuracy, 100 networks: {words}",
            at("methods", name, "kendall_tau"),
        )
        for name, words in RANKED
    ),
    *(
        Line(
            "one_shot_pooling",
            f"Kendall's tau of inherited accuracy, 36 places of down-samplings in a ResNet-20: {words}",
            at("methods", name, "kendall_tau"),
        )
        for name, words in POOLED
    ),
    Line(
        "mixed_attention",
        "Mixed attention over 196 tokens: behind softmax everywhere, mean of the seeds",
        at("behind_softmax_points", "found", "mean"),
        1.0,
        at_most=True,
        unit=" points",
    ),
    Line(
        "mixed_attention",
        "the same, linear attention everywhere",
        at("behind_softmax_points", "linear", "mean"),
        unit=" points",
    ),
    Line(
        "mpcvit",
        "MPCViT, half of the heads ReLU-softmax, with its teacher: ahead of scaling heads alone, mean of the seeds",
        at("ahead_points", "mu 0.5, taught over scaling", "mean"),
        0.5,
        unit=" points",
    ),
    Line(
        "mpcvit",
        "the same, ahead of scaling heads with that teacher",
        at("ahead_points", "mu 0.5, taught over scaling, taught", "mean"),
        unit=" points",
    ),
)
