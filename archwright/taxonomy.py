"""Where a registered thing stands in the survey's four dimensions: space, strategy, acceleration, cost estimation.

Benmeziane et al., "A Comprehensive Survey on Hardware-Aware Neural Architecture Search" (2021), sections 4 to 7. The
classes follow from the kind and from the labels that a file declares anyway; a file whose kind does not say it declares
`"survey"`, a list of "dimension: class". Tasks and exporters stand before and behind a search, in no dimension.
"""

from __future__ import annotations

from collections.abc import Mapping

from archwright import registry

DIMENSIONS = ("space", "strategy", "acceleration", "cost estimation")

KINDS: Mapping[str, tuple[str, ...]] = {
    "operators": ("space: operator",),
    "relaxations": ("strategy: gradient",),
    "mixings": ("acceleration: weight sharing",),
    "updates": ("strategy: gradient",),
    "selections": ("strategy: gradient",),
    "proxies": ("acceleration: training-free",),
    "predictors": ("acceleration: prediction", "cost estimation: prediction"),
    "embeddings": ("acceleration: prediction",),
    "benchmarks": ("acceleration: stored results", "cost estimation: look-up"),
}
FAMILIES: Mapping[str, tuple[str, ...]] = {  # of strategies
    "baseline": ("strategy: random and local",),
    "local": ("strategy: random and local",),
    "evolution": ("strategy: evolution",),
    "swarm": ("strategy: evolution",),
    "reinforcement": ("strategy: reinforcement and tree search",),
    "tree search": ("strategy: reinforcement and tree search",),
    "model": ("strategy: model-based", "acceleration: prediction"),
    "portfolio": ("strategy: model-based", "acceleration: prediction"),
    "training-free": ("strategy: model-based", "acceleration: training-free"),
    "bandit": ("strategy: multi-fidelity", "acceleration: low fidelity"),
    "approximation scheme": ("strategy: exact",),
    "mathematical programme": ("strategy: exact",),
}
ESTIMATIONS: Mapping[str, tuple[str, ...]] = {  # of costs
    "analytic": ("cost estimation: analytic",),
    "simulated": ("cost estimation: measurement and simulation",),
    "measured operators": ("cost estimation: look-up",),
}
SAMPLED = ("uniform", "single_stage")  # relaxations without gradients of the choice


def classes_of(entry: registry.Entry) -> tuple[str, ...]:
    """Classes of one entry as "dimension: class"; none for tasks, exporters and families that the survey lacks."""
    labels = entry.labels
    if "survey" in labels:
        return tuple(labels["survey"])
    if entry.kind == "spaces":
        return (f"space: {labels['family']}",) if "family" in labels else ()
    if entry.kind == "strategies":
        return FAMILIES.get(labels.get("family", ""), ())
    if entry.kind == "recipes":
        kind = "one-shot" if labels.get("relaxation") in SAMPLED else "gradient"
        return (f"strategy: {kind}", "acceleration: weight sharing")
    if entry.kind == "costs":
        return ESTIMATIONS.get(labels.get("estimation", ""), ())
    return KINDS.get(entry.kind, ())


def members() -> Mapping[str, Mapping[str, tuple[registry.Entry, ...]]]:
    """Dimension -> class -> entries of the package, in the order of dimensions and of class names."""
    found: dict[str, dict[str, list[registry.Entry]]] = {d: {} for d in DIMENSIONS}
    for kind in registry.KINDS:
        for entry in registry.entries(kind).values():
            for label in classes_of(entry):
                dimension, name = label.split(": ", 1)
                found[dimension].setdefault(name, []).append(entry)
    return {d: {name: tuple(found[d][name]) for name in sorted(found[d])} for d in DIMENSIONS}
