"""Small networks whose scores can be computed by hand."""

from __future__ import annotations

import torch
from torch import nn


class Attending(nn.Module):
    """Tokens (b, l, 8), self-attention, a feed-forward part, one output a class."""

    def __init__(self, kind: int = 0) -> None:
        super().__init__()
        from archwright.operators.attention import GroupedAttention

        self.attention = GroupedAttention(8, query_heads=2, kv_heads=1 + kind, head_dim=4)
        self.norm = nn.LayerNorm(8)
        self.up, self.act, self.down = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm(x))
        x = x + self.down(self.act(self.up(x)))
        return self.head(x.mean(1))


class Recurrent(nn.Module):
    """Integer tokens (b, l), embedding, an LSTM, one output a class."""

    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.embedding(x))
        return self.head(states[:, -1])


class Alike(nn.Module):
    """One linear layer without bias: gradients and flow are known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)
