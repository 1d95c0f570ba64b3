"""Transformer block with the norms in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.attention import Attention
from archwright.operators.base import Composite, Example, Operator, Run
from archwright.operators.ffn import FFN, GLUFFN
from archwright.operators.join import Add
from archwright.operators.norm import Norm
from archwright.registry import register


@register("operators", "transformer_block", labels={"family": "composite"})
@dataclass(frozen=True)
class TransformerBlock(Composite):
    """x + attention(norm(x)), then x + ffn(norm(x)), of tokens (L, D) (Xiong et al., 2020, figure 1b)."""

    attention: Operator = field(default_factory=Attention)
    ffn: Operator = field(default_factory=FFN)
    norm: str = "layer"

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Two residual branches."""
        if len(inputs) != 1:
            raise SpaceError(f"TransformerBlock takes one input, got {len(inputs)}")
        x = inputs[0]
        norm = Norm(self.norm)
        y = run(self.attention, run(self.inner("attention_norm", norm), x))
        x = run(self.inner("attention_add", Add()), x, y)
        y = run(self.ffn, run(self.inner("ffn_norm", norm), x))
        return run(self.inner("ffn_add", Add()), x, y)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Plain and gated."""
        return [
            (cls(Attention(2)), ((5, 8),)),
            (cls(Attention(4, kv_heads=2, causal=True), GLUFFN(hidden=16), "rms"), ((5, 8),)),
        ]
