"""Operators: what networks are made of. Each is a frozen dataclass; any of its fields may hold a choice."""

from archwright.operators.activation import Activation
from archwright.operators.base import Composite, Counts, Layer, Leaf, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.flatten import Flatten
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
from archwright.operators.zero import Zero

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "Classifier",
    "Composite",
    "ConcatJoin",
    "Conv",
    "Counts",
    "Flatten",
    "GlobalPool",
    "Layer",
    "Leaf",
    "Linear",
    "MBConv",
    "MaxPool",
    "Mul",
    "Norm",
    "Operator",
    "Projection",
    "Regressor",
    "Residual",
    "Run",
    "Sequential",
    "Shape",
    "Shortcut",
    "Skip",
    "SqueezeExcite",
    "Zero",
]
