"""A given share of the decisions takes its last option (MPCViT's fraction mu of ReLU-softmax heads)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import ConfigurationError
from archwright.gradient.selections.base import Selection, admitted, legal_code, log_chances
from archwright.registry import register
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "top_share", labels={"trains": False})
@dataclass(frozen=True)
class TopShare(Selection):
    """The decisions whose last option weighs most take it, as many as the share says (MPCViT, section 4.2: top mu).

    The others take the likeliest of their other options. The number is the share of the decisions, rounded.

    Attributes:
        share: mu, in [0, 1].
        prefix: of the names of the decisions that are counted; decisions of other names take their likeliest option.
    """

    share: float = 0.5
    prefix: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ConfigurationError(f"the share of the selection 'top_share' lies in [0, 1], got {self.share}")

    def choose(self, search: GradientSearch) -> Architecture:
        """The architecture that has the share.

        Raises:
            ConfigurationError: if no decision has the prefix, or a hard budget or the space forbids the architecture.
        """
        space, scores = search.space, log_chances(search)
        counted = [d.index for d in space.decisions if d.label.startswith(self.prefix)]
        if not counted:
            raise ConfigurationError(
                f"no decision has a name that begins with {self.prefix!r}, got {[d.label for d in space.decisions]}"
            )
        best = sorted(counted, key=lambda d: -scores[d][-1])[: round(self.share * len(counted))]
        rest = set(counted) - set(best)
        code = np.array([int((s[:-1] if d in rest else s).argmax()) for d, s in enumerate(scores)], dtype=np.int64)
        code[best] = [len(scores[d]) - 1 for d in best]
        code = legal_code(space, code)
        if not admitted(search, code[None])[0]:
            raise ConfigurationError(
                f"the architecture of the share {self.share} is beyond a hard budget; change the share or the budget"
            )
        return space.architectures(code[None])[0]
