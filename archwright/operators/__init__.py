"""Operators: what networks are made of. Each is a frozen dataclass; any of its fields may hold a choice.

Classes of files that are not listed here are found by their names in the registry.
"""

from typing import Any

from archwright import registry
from archwright.operators.activation import Activation
from archwright.operators.attention import Attention
from archwright.operators.base import Composite, Counts, Layer, Leaf, Operator, Run, Shape
from archwright.operators.branches import Concat, Multiply, Sum
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.conv import Conv
from archwright.operators.depthwise_separable import DepthwiseSeparable
from archwright.operators.dilated import Dilated
from archwright.operators.ffn import FFN, GLUFFN
from archwright.operators.flatten import Flatten
from archwright.operators.fused_mbconv import FusedMBConv
from archwright.operators.head import Classifier, Regressor
from archwright.operators.join import Add, ConcatJoin, Mul
from archwright.operators.linear import Linear
from archwright.operators.mbconv import MBConv
from archwright.operators.norm import Norm
from archwright.operators.pool import AvgPool, GlobalPool, MaxPool
from archwright.operators.residual import Projection, Residual, Shortcut
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.operators.squeeze_excite import SqueezeExcite
from archwright.operators.tokens import FromTokens, PatchEmbed, ToTokens
from archwright.operators.transformer import TransformerBlock
from archwright.operators.tucker import Tucker
from archwright.operators.user_module import Call, call
from archwright.operators.zero import Zero

__all__ = [
    "FFN",
    "GLUFFN",
    "Activation",
    "Add",
    "Attention",
    "AvgPool",
    "Call",
    "Cell",
    "Classifier",
    "Composite",
    "Concat",
    "ConcatJoin",
    "Conv",
    "Counts",
    "DepthwiseSeparable",
    "Dilated",
    "Edge",
    "Flatten",
    "FromTokens",
    "FusedMBConv",
    "GlobalPool",
    "Layer",
    "Leaf",
    "Linear",
    "MBConv",
    "MaxPool",
    "Mul",
    "Multiply",
    "Node",
    "Norm",
    "Operator",
    "PatchEmbed",
    "Projection",
    "Regressor",
    "Residual",
    "Run",
    "Sequential",
    "Shape",
    "Shortcut",
    "Skip",
    "SqueezeExcite",
    "Sum",
    "ToTokens",
    "TransformerBlock",
    "Tucker",
    "Zero",
    "call",
]


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for entry in registry.names("operators"):
            if getattr(registry.get("operators", entry), "__name__", None) == name:
                return registry.get("operators", entry)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
