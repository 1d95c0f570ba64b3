"""Differentiable and one-shot search: one loop with four plug points (relaxation, mixing, update, selection)."""

from archwright.gradient.method import Method
from archwright.gradient.search import GradientResult, GradientSearch, search

__all__ = ["GradientResult", "GradientSearch", "Method", "search"]
