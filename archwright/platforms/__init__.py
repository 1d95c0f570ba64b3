"""Platforms as data: one TOML file each, validated, units in every name, a source for every number."""

from archwright.platforms.loader import load, names, parse
from archwright.platforms.schema import Platform

__all__ = ["Platform", "load", "names", "parse"]
