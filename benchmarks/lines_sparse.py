"""The lines of the benchmarks page about sparse networks."""

from __future__ import annotations

from figures import Line, at, over_means

SPARSE = (
    Line(
        "random_sparse",
        "Random node masks at 90 % sparsity: gain of the best of twenty by loss over the first, 20 seeds",
        at("sparsities", "0.9", "gain_points"),
        unit=" points",
    ),
    *(
        Line(
            "dass",
            f"Cells of DASS over cells of DARTS that are then pruned, test accuracy at {percent} % sparsity",
            over_means(("sparsities", sparsity, "dass"), ("sparsities", sparsity, "darts_then_pruned")),
            1,
            unit="x",
            command="python benchmarks/dass.py",
        )
        for sparsity, percent in (("0.9", 90), ("0.99", 99))
    ),
    *(
        Line(
            "supertickets",
            f"SuperTickets{more} over as many steps of search, training{words}, pruning, retraining, 80 % sparsity",
            over_means(("summary", ours), ("summary", f"pipeline_{start}")),
            1,
            unit="x",
            command="python benchmarks/supertickets.py",
        )
        for ours, more in (("one_run", " in one run"), ("one_run_retrained", ", retrained,"))
        for start, words in (("afresh", ""), ("from_shared_weights", " from the shared weights"))
    ),
    Line(
        "supertickets",
        "Its ticket with a new head on CIFAR-100's superclasses over random node masks",
        over_means(("summary", "second_task", "ticket_percent"), ("summary", "second_task", "random_masks_percent")),
        unit="x",
        command="python benchmarks/supertickets.py",
    ),
)
