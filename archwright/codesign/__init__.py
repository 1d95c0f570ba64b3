"""Networks and accelerators searched together."""

from archwright.codesign.design import Accelerator, CoDesign, codesign_space
from archwright.codesign.schedule import Schedule, exact_schedule, list_schedule

__all__ = ["Accelerator", "CoDesign", "Schedule", "codesign_space", "exact_schedule", "list_schedule"]
