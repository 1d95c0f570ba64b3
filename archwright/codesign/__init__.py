"""Networks and accelerators searched together."""

from archwright.codesign.accuracy import JointAccuracy
from archwright.codesign.design import CoDesign, Technology
from archwright.codesign.joint import Accelerator, codesign_space
from archwright.codesign.schedule import Schedule, exact_schedule, list_schedule
from archwright.codesign.strategy import JointEvolution

__all__ = [
    "Accelerator", "CoDesign", "JointAccuracy", "JointEvolution", "Schedule", "Technology", "codesign_space",
    "exact_schedule", "list_schedule",
]  # fmt: skip
