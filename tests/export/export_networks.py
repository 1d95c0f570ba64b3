"""Networks that the export and report tests share."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from archwright import registry
from archwright.nets.build import Network, build
from archwright.operators.attention import Attention
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.conv import Conv
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.norm import Norm
from archwright.operators.pool import MaxPool
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.operators.tokens import PatchEmbed
from archwright.space import Architecture, Space, oneof, repeat


@cache
def space() -> Space:
    """Convolutions, two stages and a residual block over images (1, 8, 8)."""
    return Space(
        Sequential(
            (
                Conv(oneof(8, 12)),
                repeat(MBConv(oneof(12, 16), kernel=oneof(3, 5), expand=oneof(2, 3)), oneof(1, 2, 3)),
                Residual(Sequential((Conv(16), Conv(16, activation="identity")))),
                repeat(MBConv(16, se=0.25), oneof(2, 3)),
                Classifier(10),
            )
        )
    )


@cache
def cell_space() -> Space:
    """Cells of three nodes with a choice on every edge, over images (3, 8, 8)."""

    def edge(source: int) -> Edge:
        return Edge(source, oneof(Conv(8, activation_first=True), Skip(), MaxPool(3, stride=1)))

    nodes = (Node((edge(0),)), Node((edge(0), edge(1))), Node((edge(0), edge(1), edge(2))))
    return Space(Sequential((Conv(8), repeat(Cell(nodes, result="last"), oneof(1, 2)), Classifier(4))))


@cache
def token_space() -> Space:
    """Patches and transformer blocks over images (3, 8, 8)."""
    block = Sequential(
        (
            Residual(Sequential((Norm(kind="layer"), Attention(heads=oneof(2, 4), head_dim=8)))),
            Residual(Sequential((Norm(kind="layer"), FFN(hidden=oneof(24, 48))))),
        )
    )
    return Space(Sequential((PatchEmbed(16, patch=4), repeat(block, oneof(1, 2, 3)), Classifier(5, pool="token_avg"))))


def sample(of: Space, seed: int = 0) -> Architecture:
    return of.sample(1, np.random.default_rng(seed))[0]


def trained(architecture: Architecture, *shapes: tuple[int, ...], seed: int = 0) -> Network:
    """A network whose batch-norm statistics and weights are not the initial ones."""
    net = build(architecture, *shapes, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.add_(0.1 * noise if "running_var" in name else 0.1 * (noise - 0.5))
    return net.eval()


def operator_examples() -> list[tuple[str, object, tuple[tuple[int, ...], ...]]]:
    """(name, operator, input shapes) of everything that is registered and brings examples."""
    out = []
    for name in registry.names("operators"):
        cls = registry.get("operators", name)
        for i, (operator, shapes) in enumerate(cls.examples()):
            out.append((f"{name}-{i}", operator, shapes))
    return out
