"""Editable spaces to start from: `archwright new`."""

from __future__ import annotations

from pathlib import Path

from archwright.errors import ConfigurationError, nearest

_CNN = '''"""A convolutional search space; edit it and run: archwright search {file} --data digits"""

from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof, repeat


def space(input_shape, outputs):
    """Every `oneof` and `repeat` is a decision of the search."""
    return Space(
        Sequential(
            (
                Conv(channels=oneof(8, 16, 24), kernel=3),
                MBConv(channels=oneof(16, 24, 32), kernel=oneof(3, 5), expand=oneof(2, 3, 4), stride=2),
                # Choices with one name are one decision: all blocks of the stage have the same width.
                MBConv(channels=oneof(24, 32, 48, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3, 4)),
                repeat(
                    MBConv(channels=oneof(24, 32, 48, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3, 4)),
                    times=oneof(0, 1, 2),
                ),
                Classifier(outputs),
            )
        )
    )
'''

_MLP = '''"""A search space for tables; edit it and run: archwright search {file} --data path/to/table.csv"""

from archwright.operators import Classifier, Linear, Residual, Sequential
from archwright.space import Space, oneof, repeat


def space(input_shape, outputs):
    """Every `oneof` and `repeat` is a decision of the search."""
    width = oneof(32, 64, 128, 256, name="width")
    block = Residual(Sequential((Linear(oneof(32, 64, 128), norm="batch", activation="relu"), Linear(width))))
    return Space(
        Sequential(
            (
                Linear(width, norm="batch", activation="relu"),
                repeat(block, times=oneof(0, 1, 2, 3)),
                Classifier(outputs),
            )
        )
    )
'''

_TRANSFORMER = '''"""A small vision transformer space; edit it and run: archwright search {file} --data digits"""

from archwright.operators import FFN, Attention, Classifier, PatchEmbed, Sequential, TransformerBlock
from archwright.space import Space, oneof, repeat


def space(input_shape, outputs):
    """Every `oneof` and `repeat` is a decision of the search."""
    return Space(
        Sequential(
            (
                PatchEmbed(64, patch=max(input_shape[1] // 4, 1)),
                repeat(
                    TransformerBlock(Attention(heads=oneof(2, 4), head_dim=16), FFN(hidden=oneof(64, 128, 192))),
                    times=oneof(1, 2, 3, 4),
                ),
                Classifier(outputs),
            )
        )
    )
'''

STARTERS = {"cnn": _CNN, "mlp": _MLP, "transformer": _TRANSFORMER}


def write_starter(kind: str, out: Path, *, force: bool = False) -> Path:
    """Write an editable space.

    Raises:
        ConfigurationError: if the kind is unknown, or the file exists and `force` is not set.
    """
    if kind not in STARTERS:
        raise ConfigurationError(f"unknown kind of space {kind!r}; {nearest(kind, STARTERS)}")
    if out.exists() and not force:
        raise ConfigurationError(f"{out} exists; choose another --out, or overwrite it with --force")
    out.write_text(STARTERS[kind].replace("{file}", str(out)), encoding="utf-8")
    return out
