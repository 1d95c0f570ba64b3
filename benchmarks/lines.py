"""The lines of the benchmarks page, one figure of a result each."""

from __future__ import annotations

from figures import (
    Line,
    after_fifty,
    at,
    case,
    exact_share,
    holding,
    improvement,
    kept,
    least,
    least_ahead,
    linas_queries,
    median_queries,
    most_memory,
    over,
    over_random,
    saved,
    seeds_lower,
    signs_kept,
    slowest_alone,
    throughput,
    unseen,
    wrong_texts,
    zero_shot,
)
from lines_gradient import GRADIENT

RARTS, OURS = "rarts on darts, over first order", "python benchmarks/search_step.py --method darts --kernels off"
NB201 = "--method darts --space nasbench201 --batch 32"
RUNS = "python benchmarks/scalesim_runs.py --python PEERS --out FOLDER"
CASES = "python benchmarks/hardware_cases.py FOLDER"
LINES = (
    Line("hypervolume_digits", "Hypervolume, ratio to the better peer, mean", at("ratio_mean"), 1.3),
    Line("hypervolume_digits", "the same, worst seed", least, 1.3),
    Line("hypervolume_digits", "Seeds with a lower error at the latency budget", seeds_lower, 100, unit=" %"),
    Line(
        "hypervolume_cifar10_20k",
        "Hypervolume on CIFAR-10 20k, ratio to the better peer, mean",
        at("ratio_mean"),
        1.3,
        command="python benchmarks/hypervolume.py --data cifar10_20k --seconds 300 --peer-epochs 2",
    ),
    Line(
        "hypervolume_cifar10_20k",
        "Seeds with a lower error at the latency budget",
        seeds_lower,
        100,
        unit=" %",
        command="python benchmarks/hypervolume.py --data cifar10_20k --seconds 300 --peer-epochs 2",
    ),
    *(
        Line(
            "sample_efficiency",
            f"Queries of the default until 0.3 points of regret, {table}, {words}, median of 50 seeds",
            median_queries(part, i),
            target,
            at_most=True,
        )
        for part, words, targets in (
            ("without_scores", "no proxies", (18, 36, 68)),
            ("with_scores", "with zero-cost scores", (15, 20, 30)),
        )
        for i, (table, target) in enumerate(zip(("CIFAR-10", "CIFAR-100", "ImageNet16-120"), targets, strict=True))
    ),
    Line(
        "sample_efficiency",
        "Hypervolume (accuracy, latency): least lead of the default over the best peer, 50 to 200 queries, all devices",
        least_ahead,
        0,
    ),
    Line(
        "sample_efficiency",
        "Queries of LINAS for the hypervolume of NSGA-II after 200, worst device",
        linas_queries,
        200 / 3,
        at_most=True,
    ),
    *(
        Line(
            "small_datasets",
            f"Improvement over random architectures after ten trainings, mean of six small datasets: {words}",
            improvement(method),
            unit=" %",
        )
        for method, words in (
            ("regularized_evolution(population=5, sample=2)", "regularized evolution"),
            ("local_search", "local search"),
            ("bayesian", "Bayesian optimization"),
            ("random", "random search"),
        )
    ),
    Line(
        "joint_search",
        "Pairs of network and recipe after 48 trainings under a limit: test accuracy of FBNetV3's over random search's",
        over_random,
        1,
        unit="x",
    ),
    Line(
        "boshnas",
        "BOSHNAS's queries until the best of 500 BERT-like networks over random search's, median of 20 seeds",
        at("boshnas_over_random"),
        0.5,
        at_most=True,
        unit="x",
    ),
    Line(
        "sequence_proxies",
        "Slowest of eight scores of a sequence model alone, 50 encoders",
        slowest_alone,
        1,
        at_most=True,
        unit=" CPU s",
    ),
    Line(
        "sequence_proxies",
        "Scores of eight whose correlation with GLUE has the published sign, 500 encoders",
        signs_kept,
        8,
    ),
    Line(
        "embeddings",
        "ONNX texts of 1,000 networks: different texts of equal graphs, and equal ones of different graphs",
        wrong_texts,
        0,
        at_most=True,
    ),
    Line("embeddings", "Predictor of one space on another, worst of six: Spearman without labels", zero_shot, 0),
    Line("embeddings", "the same after 50 labels, mean of 10 seeds", after_fifty, 0.5),
    *(
        Line(
            "robot",
            f"Mean rank of the best single proxy over RoBoT's, 20 queries{words}",
            at(part, "best_single_proxy_over_robot"),
            1,
        )
        for part, words in (("nasbench201", ""), ("transnas101", ", TransNAS-Bench-101, five tasks"))
    ),
    Line(
        "gbdt_queries",
        "Random search's queries over those of GBDT-NAS, worst of five tables",
        at("least_random_over_gbdt"),
        3,
        unit="x",
    ),
    Line(
        "gbdt_queries",
        "Regularized evolution's queries over those of GBDT-NAS, worst of five tables",
        at("least_evolution_over_gbdt"),
        1,
        unit="x",
    ),
    Line(
        "gbdt_predictor",
        "Kendall's tau of boosted trees less that of perceptrons, 200 labels, worst of five tables",
        at("least_gbdt_minus_mlp"),
        0,
    ),
    Line(
        "gbdt_predictor",
        "Points of mean accuracy that pruning by SHAP gains, mean of 10 seeds, worst of five tables",
        at("least_mean_gained_by_pruning"),
        0,
    ),
    Line(
        "engine_overhead",
        "Optuna's journal over archwright, time of a trial with its log",
        at("log", "optuna_over_archwright"),
        20,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    Line(
        "engine_overhead",
        "Last 10,000 trials over the first, CPU time",
        at("log", "archwright", "last_over_first_cpu"),
        1.2,
        at_most=True,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    Line(
        "engine_overhead",
        "Optuna NSGA-II in memory over archwright's",
        at("memory", "optuna_over_archwright", "nsga2"),
        50,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    *(
        Line(
            "engine_overhead",
            f"the same, {words} asked one by one",
            at("memory", "optuna_over_archwright", f"{name}, asked one by one"),
            50,
            unit="x",
            command="python benchmarks/engine_overhead.py --only memory",
        )
        for name, words in (("regularized_evolution", "regularized evolution"), ("nsga2", "NSGA-II"))
    ),
    Line(
        "deep_architect",
        "Accuracy found by tree search and SMBO less random search's, 5 seeds, least of two spaces of trained networks",
        at("least_gain_over_5_seeds_percent"),
        0,
        unit=" points",
    ),
    *(
        Line(
            "text_templates",
            f"Text classifiers: accuracy by learned mutation in 60 queries less uniform mutation's, {words} seeds",
            over("valid_accuracy_percent_after_60", f"{words}_seeds"),
            0,
            unit=" points",
        )
        for words in ("five", "fifty")
    ),
    Line(
        "enas",
        "Controller over shared weights less random search over shared weights, test accuracy, mean of the seeds",
        lambda c: c["mean"]["enas"]["test_accuracy_percent"] - c["mean"]["random"]["test_accuracy_percent"],
        unit=" points",
    ),
    Line(
        "mnasnet",
        "MnasNet's reward, hard exponents: targets of five that the found network meets within 10 %, measured again",
        at("hard_within_10_percent, error_again_percent"),
        5,
    ),
    Line(
        "supernet_step",
        "Sandwich step with four subnets over a step of the largest alone",
        at("cpu_seconds_a_step", "digits", "ratio"),
        2.2,
        at_most=True,
        unit="x",
    ),
    *(
        Line("path_step", words, at("cpu_seconds_a_step", kind, name, "ratio"), limit, at_most=True, unit="x")
        for kind, name, words, limit in (
            ("sampled_path", "spos on darts", "Single-path step (SPOS, DARTS space) over the plain network's", 1.2),
            ("sampled_path", "gdas on nasbench201", "Single-path step (GDAS, NAS-Bench-201) over the plain one's", 1.2),
            ("sampled_path", "proxylessnas", "Weights step of ProxylessNAS over the plain network's", 1.2),
            ("superposed", "convnet", "Step of superposed weights over the largest network's, convolutions", 1.3),
            ("superposed", "autoformer", "Step of superposed weights over the largest network's, transformer", 1.3),
            ("sandwich", "mobilenetv3", "Sandwich step over four steps of the largest network, MobileNetV3", 0.5),
        )
    ),
    *(
        Line(
            "search_step",
            f"Search step against the published code, CPU time, {words}",
            at("comparisons", name, kind, "cpu_s_ratio"),
            target,
            unit="x",
            command=f'python benchmarks/search_step.py {options} --peer "PEER" --record "{name}"',
        )
        for name, kind, words, target, options in (
            ("darts on darts", "pure_torch", "DARTS, pure PyTorch", 2.1, "--method darts"),
            ("darts on darts", "with_kernels", "DARTS, with compiled kernels", 3.5, "--method darts"),
            ("pc-darts on darts", "pure_torch", "PC-DARTS, pure PyTorch", 2, "--method pc-darts"),
            ("drnas on darts", "pure_torch", "DrNAS, pure PyTorch", 2, "--method drnas"),
            ("darts on nasbench201", "pure_torch", "DARTS on NAS-Bench-201, pure PyTorch", 2, NB201),
            ("darts on nasbench201", "with_kernels", "DARTS on NAS-Bench-201, with compiled kernels", 2, NB201),
        )
    ),
    *(
        Line(
            "search_step",
            f"Peak memory of a search step over the published code's, worst of four methods, {words}",
            most_memory(kind),
            0.65,
            at_most=True,
            unit="x",
            command='python benchmarks/search_step.py --method METHOD --peer "PEER" --record NAME',
        )
        for kind, words in (("pure_torch", "pure PyTorch"), ("with_kernels", "with compiled kernels"))
    ),
    Line(
        "search_step",
        "Peak memory of a RARTS step, its second copy of the weights included, over first-order DARTS",
        lambda c: 1.0 / c["comparisons"][RARTS]["pure_torch"]["peak_memory_mb_ratio"],
        1.3,
        at_most=True,
        unit="x",
        command=f'python benchmarks/search_step.py --method rarts --peer "{OURS}" --record "{RARTS}"',
    ),
    Line(
        "path_step",
        "Step of four architectures on a quarter of the batch each over a step of one (ViT-ResNAS)",
        at("cpu_seconds_a_step", "shared_batch", "vit_resnas", "ratio"),
        1.3,
        at_most=True,
        unit="x",
    ),
    Line("counts_speed", "Counts of 10,000 architectures against tracing each", at("ratio"), 100, unit="x"),
    Line(
        "space_speed",
        "Sampling one of 10,000 architectures, 46 decisions",
        at("times", "sample", "median_us"),
        10,
        at_most=True,
        unit=" us",
        command="python benchmarks/space_speed.py --out benchmarks/results/space_speed.json",
    ),
    Line(
        "space_speed",
        "Mutating one of 10,000 architectures, 46 decisions",
        at("times", "mutate", "median_us"),
        10,
        at_most=True,
        unit=" us",
        command="python benchmarks/space_speed.py --out benchmarks/results/space_speed.json",
    ),
    Line(
        "latency_table",
        "Latency tables on unseen networks, largest median error",
        unseen("median_error_percent"),
        unit=" %",
        command="python benchmarks/latency_table.py",
    ),
    Line(
        "latency_table",
        "the same, smallest rank correlation (Spearman)",
        unseen("spearman"),
        command="python benchmarks/latency_table.py",
    ),
    Line(
        "operators",
        "Counting operators against building and running them on shapes",
        at("counting", "ratio"),
        unit="x",
        command="python benchmarks/operators.py > benchmarks/results/operators.json",
    ),
    Line(
        "hardware_cases",
        "Systolic arrays: cases equal to the reference's cycles",
        exact_share("systolic.cycles"),
        100,
        unit=" %",
        command=CASES,
    ),
    *(
        Line(
            "scalesim_runs",
            f"Systolic arrays, buffers mostly too small: cases equal to the reference's DRAM reads of {what}",
            exact_share(f"systolic.dram_{key}"),
            target,
            unit=" %",
            command=RUNS,
        )
        for what, key, target in (
            ("inputs", "ifmap", 90),
            ("weights", "filter", 90),
            ("inputs, closed form", "ifmap_closed_form", 90),
        )
    ),
    Line(
        "hardware_cases",
        "Decoder inference: cases equal to the reference",
        exact_share("llm.genz.dense"),
        100,
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_peers",
        "Decoder inference: pairs of model and platform within 5 % of GenZ run beside",
        at("peers", "genz", "pairs_within_5_percent"),
        20,
        command="python benchmarks/hardware_peers.py --python PEERS_PYTHON --peers genz",
    ),
    Line(
        "activation_ranges",
        "INT8 error of a small convolutional encoder over that of a small vision transformer",
        lambda c: 10 ** (c["convolutions_less_transformer_db"] / 10),
        1,
        at_most=True,
        unit="x",
        command="python benchmarks/activation_ranges.py",
    ),
    Line(
        "activation_ranges",
        "Rank correlation of the range statistic and the measured INT8 error (Spearman)",
        at("rank_correlation_of_statistic_and_error"),
        command="python benchmarks/activation_ranges.py",
    ),
    Line(
        "hardware_cases",
        "Dataflow accelerators: cases with the reference's latency",
        exact_share("dataflow.latency.all"),
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "Dataflow accelerators: rank correlation of latency (Kendall)",
        case("dataflow.latency.all", "kendall"),
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "FPGA model: median error on networks it was not calibrated on",
        lambda c: 100 * c["models"]["fpga.held_out"]["median_relative_error"],
        20,
        at_most=True,
        unit=" %",
        command=CASES,
    ),
    Line(
        "fpga_networks",
        "FPGA model: networks and boards within 20 %, of the 8 it was not calibrated on",
        at("calibrated_on_resnet50", "within_20_percent"),
        8,
    ),
    Line(
        "hardware_speed",
        "Systolic model, all outputs, million designs a second",
        throughput("systolic.all_outputs"),
        2,
    ),
    Line("hardware_speed", "Systolic model, cycles only", throughput("systolic.cycles_only"), 10),
    Line("hardware_speed", "Decoder model, million deployments a second", throughput("llm.genz_latency"), 0.5),
    Line("hardware_speed", "Dataflow model (Eyeriss), million designs a second", throughput("dataflow.eyeriss"), 1),
    Line(
        "hashing",
        "Evaluations saved by functional hashing in 200 trials of evolution as published, median",
        saved(200, repeating=True),
        20,
        unit=" %",
    ),
    *(
        Line(
            "hashing",
            f"the same in {trials} trials of ours, which never proposes a code twice",
            saved(trials),
            20,
            unit=" %",
        )
        for trials in (200, 600)
    ),
    Line(
        "hashing",
        "Wrong collisions among pairs that collide",
        lambda c: 100 * c["functional_hash"]["sensitive"]["false_collisions_share"],
        unit=" %",
    ),
    *(
        Line(
            "fptas",
            f"Sub-architecture extraction, {name}: instances within the bound where {which}",
            kept(family, held=held),
            target,
            unit=" %",
        )
        for family, name in (("convex_decay", "smooth ridge family"), ("convex_kink", "sharp peak"))
        for held, which, target in (
            (True, "the strategy says that its conditions hold", 100),
            (False, "it says that they do not", None),
        )
    ),
    *(
        Line(
            "fptas",
            f"the same, every 2nd to 8th trained{words}: instances whose conditions hold",
            holding("convex_kink", refined=refined),
            unit=" %",
        )
        for refined, words in ((False, ""), (True, ", then those that may be better"))
    ),
    Line(
        "dram_proxy_stream",
        "Proxy of the DRAM simulator: error of latency, share of the mean",
        at("error", "latency_ns", "rmse_percent_of_mean"),
        1,
        at_most=True,
        unit=" %",
    ),
    Line(
        "dram_proxy_stream",
        "the same, predicting batches of 1,000 designs: speed against the simulator",
        at("times_faster_in_batches_of", "1000"),
        2000,
        unit="x",
    ),
    Line(
        "dram_proxy_stream",
        "Fitting it, in simulated designs of the same time",
        at("fit_in_simulated_designs"),
    ),
    *GRADIENT,
)
