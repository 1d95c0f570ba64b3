"""Taking an architecture to another space with the same decisions: found cells in a deeper and wider network."""

from __future__ import annotations

import numpy as np

from archwright.errors import SpaceError
from archwright.space import Architecture, Space


def transfer(architecture: Architecture, target: Space) -> Architecture:
    """The architecture of `target` that takes the same options (Zoph et al., 2018, section 3: re-stacked cells).

    Decisions are matched by their names, options by their values, or by their order where values carry other
    widths.

    Args:
        architecture: of any space whose decisions have names.
        target: a space with these decisions; it may stack the cells with other depth and width.

    Raises:
        SpaceError: if the decisions do not agree.
    """
    source = architecture.space
    ours = {d.name: d for d in source.decisions if d.name}
    code = np.full(len(target.decisions), -1, dtype=np.int64)
    for d in target.decisions:
        known = ours.get(d.name) if d.name else None
        if known is None or known.size != d.size:
            raise SpaceError(
                f"the target's decision {d.label!r} with {d.size} options has no counterpart in the architecture's "
                "space; name the decisions alike in both"
            )
        k = int(architecture.code[known.index])
        value = known.options[k] if k >= 0 else None
        code[d.index] = d.options.index(value) if k >= 0 and value in d.options else k
    missing = set(ours) - {d.name for d in target.decisions}
    if missing:
        raise SpaceError(
            f"the target has no decision {sorted(missing)[0]!r}; its cells are smaller than the found ones"
        )
    return target.architectures(code[None])[0]
