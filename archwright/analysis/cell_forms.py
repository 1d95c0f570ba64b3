"""Which cells of NAS-Bench-201 compute the same: exact, by symbols instead of numbers.

A node is a sum of terms; a term is an input or a convolution's output, pooled any number of times (pooling is linear
and has no weights). Skips vanish, sums over dead edges are empty, convolutions that nobody reads are dropped. Two cells
are equal if their forms are, up to the names of the convolutions. The 6,466 classes of Dong & Yang (2020), section 2.1,
differ: they keep track of dead edges, and let one convolution stand for two on the same input. Functional hashes of
such cells are checked against these forms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations, product

from archwright.spaces.nasbench201 import EDGES, OPERATORS

INPUT = -1
Sum = Counter[tuple[int, int]]  # (pools, INPUT or the edge of a convolution) -> how often
Convolution = tuple[str, Sum]  # operator and what it reads

_NONE, _SKIP, _POOL = (OPERATORS.index(name) for name in ("none", "skip_connect", "avg_pool_3x3"))


def canonical_form(code: Sequence[int]) -> str:
    """Text that two codes (6,) share exactly if their cells compute the same up to the names of weights."""
    output, convolutions = _terms(code)
    live = _reached(output, convolutions)
    unfolded = {edge: _unfold(edge, convolutions) for edge in live}
    groups: dict[str, list[int]] = {}
    for edge in sorted(live):
        groups.setdefault(unfolded[edge], []).append(edge)
    names = sorted(groups)
    texts = []
    for orders in product(*(permutations(groups[name]) for name in names)):
        order = [edge for group in orders for edge in group]
        place = {edge: i for i, edge in enumerate(order)} | {INPUT: INPUT}
        parts = [f"{convolutions[edge][0]}({_sum_text(convolutions[edge][1], place)})" for edge in order]
        texts.append(";".join([*parts, _sum_text(output, place)]))
    return min(texts)


def _terms(code: Sequence[int]) -> tuple[Sum, dict[int, Convolution]]:
    nodes: list[Sum] = [Counter({(0, INPUT): 1}), Counter(), Counter(), Counter()]
    convolutions: dict[int, Convolution] = {}
    for edge, ((node, source), k) in enumerate(zip(EDGES, code, strict=True)):
        read = nodes[source]  # complete: edges are sorted by their node, and sources come before
        if k == _NONE or not read:
            continue
        if k == _SKIP:
            nodes[node].update(read)
        elif k == _POOL:
            nodes[node].update({(pools + 1, base): n for (pools, base), n in read.items()})
        else:
            convolutions[edge] = (OPERATORS[k], Counter(read))
            nodes[node][0, edge] += 1
    return nodes[-1], convolutions


def _reached(output: Sum, convolutions: dict[int, Convolution]) -> set[int]:
    found: set[int] = set()
    waiting = [base for _, base in output if base != INPUT]
    while waiting:
        edge = waiting.pop()
        if edge not in found:
            found.add(edge)
            waiting += [base for _, base in convolutions[edge][1] if base != INPUT]
    return found


def _unfold(edge: int, convolutions: dict[int, Convolution]) -> str:
    if edge == INPUT:
        return "x"
    operator, read = convolutions[edge]
    return f"{operator}[{sorted((pools, _unfold(base, convolutions), n) for (pools, base), n in read.items())}]"


def _sum_text(read: Sum, place: dict[int, int]) -> str:
    return "+".join(f"{n}*{pools}p{base}" for pools, base, n in sorted((p, place[b], n) for (p, b), n in read.items()))
