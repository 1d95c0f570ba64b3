"""Fail if the installation exchanged torch, pulled CUDA packages, or left the constraints."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

BANNED = ("nvidia-", "triton", "torchvision", "timm", "xgboost")


def main() -> None:
    """Compare what is installed with constraints.txt."""
    installed = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    problems = [f"{name} is installed; it must not be" for name in installed if name.startswith(BANNED)]
    constraints = Path(__file__).resolve().parents[1] / "constraints.txt"
    for line in constraints.read_text().splitlines():
        if "==" not in line or line.startswith("#"):
            continue
        name, version = line.split("==")
        found = installed.get(name.lower().replace("_", "-"))
        if found is not None and found.split("+")[0] != version:
            problems.append(f"{name} {found} is installed, constraints.txt pins {version}")
    if "torch" not in installed:
        problems.append("torch is not installed")
    if problems:
        sys.exit("the environment is not as it must be:\n  " + "\n  ".join(problems))
    print(f"environment: torch {installed['torch']}, {len(installed)} packages, none of {', '.join(BANNED)}")


if __name__ == "__main__":
    main()
