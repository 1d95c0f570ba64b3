"""From descriptions to networks: plain, or one supernet with shared weights."""

from archwright.nets.build import Network, build
from archwright.nets.supernet import Supernet

__all__ = ["Network", "Supernet", "build"]
