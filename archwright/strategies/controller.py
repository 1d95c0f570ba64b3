"""A recurrent controller that writes architectures decision by decision.

Zoph & Le (2017) and Pham et al., "ENAS" (2018), section 2.4: an LSTM of 100 units reads its last decision and gives the
probabilities of the next. Constraints and inactive decisions: what is written is replaced by the nearest member, and
the controller is taught the codes of that; inactive decisions are skipped.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from archwright.space.space import Space

UNITS = 100


class Controller(nn.Module):
    """LSTM over decisions, one embedding and one output layer for each decision.

    Args:
        space: whose codes are written.
        units: of the LSTM.
    """

    def __init__(self, space: Space, units: int = UNITS) -> None:
        super().__init__()
        self.sizes = space.sizes.tolist()
        self.cell = nn.LSTMCell(units, units)
        self.start = nn.Parameter(torch.zeros(units))
        self.read = nn.ModuleList(nn.Embedding(size + 1, units) for size in self.sizes)
        self.write = nn.ModuleList(nn.Linear(units, size) for size in self.sizes)
        self.recall = nn.ModuleList(nn.Linear(units, size) for size in self.sizes)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def begin(self, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """First input and state of n sequences."""
        units = self.start.shape[0]
        return self.start.expand(n, units), (torch.zeros(n, units), torch.zeros(n, units))

    def step(self, j: int, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log-probabilities (n, options) of decision j, and the state after it."""
        state = self.cell(x, state)
        logits = self.write[j](state[0])
        return torch.log_softmax(2.5 * torch.tanh(logits / 5.0), dim=1), state  # temperature 5, tanh 2.5 as in ENAS

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, D) int64 codes, before constraints."""
        codes = np.zeros((n, len(self.sizes)), np.int64)
        with torch.no_grad():
            x, state = self.begin(n)
            for j in range(len(self.sizes)):
                log_p, state = self.step(j, x, state)
                p = np.cumsum(log_p.exp().double().numpy(), axis=1)
                codes[:, j] = (rng.random((n, 1)) * p[:, -1:] > p[:, :-1]).sum(axis=1)
                x = self.read[j](torch.from_numpy(codes[:, j]) + 1)
        return codes

    def score(self, codes: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """What the controller thinks of codes (n, D); -1 is skipped.

        Returns:
            (n,) log-probability, (n,) entropy summed over decisions, and the mean loss of recalling all
            decisions from the last state, which the memory buffer trains.
        """
        given = torch.from_numpy(codes.astype(np.int64))
        x, state = self.begin(len(codes))
        total, entropy, recall = torch.zeros(len(codes)), torch.zeros(len(codes)), torch.zeros(())
        for j in range(len(self.sizes)):
            log_p, state = self.step(j, x, state)
            active = given[:, j] >= 0
            chosen = given[:, j].clamp(min=0)
            total = total + torch.where(active, log_p.gather(1, chosen[:, None])[:, 0], torch.zeros(()))
            entropy = entropy - (log_p.exp() * log_p).sum(dim=1) * active
            x = self.read[j](given[:, j] + 1)
        for j in range(len(self.sizes)):
            recall = recall + nn.functional.cross_entropy(self.recall[j](state[0]), given[:, j].clamp(min=0))
        return total, entropy, recall / max(len(self.sizes), 1)

    def states(self, codes: np.ndarray) -> np.ndarray:
        """(n, units) the controller's last hidden state for codes: how it represents an architecture."""
        given = torch.from_numpy(codes.astype(np.int64))
        with torch.no_grad():
            x, state = self.begin(len(codes))
            for j in range(len(self.sizes)):
                _, state = self.step(j, x, state)
                x = self.read[j](given[:, j] + 1)
        return state[0].numpy()


def seeded_controller(space: Space, seed: int, units: int = UNITS) -> Controller:
    """A controller with the initial weights of a seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Controller(space, units)
