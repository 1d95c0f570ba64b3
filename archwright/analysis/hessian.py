"""Eigenvalues of the Hessian of a loss: sharpness of minima, bulk and outliers.

A Hessian-vector product costs one more backward pass (Pearlmutter, 1994). Lanczos iteration with full
reorthogonalisation turns some dozens of them into the largest eigenvalues, and into an estimate of the whole spectrum
(Ghorbani et al., 2019, algorithm 1). Bulk near zero and about as many outliers as classes less one are what deep
networks show (Sagun et al., 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Spectrum:
    """Estimated spectrum.

    Attributes:
        top: largest eigenvalues, falling, (k,).
        grid: eigenvalues at which the density is given, (points,).
        density: of the eigenvalues, integrates to one, (points,).
    """

    top: np.ndarray
    grid: np.ndarray
    density: np.ndarray

    @property
    def outliers(self) -> int:
        """How many of the largest eigenvalues stand above the widest relative gap between two of them."""
        kept = self.top[self.top > 0.0]
        return 0 if len(kept) < 2 else 1 + int(np.argmax(kept[:-1] / kept[1:]))

    @property
    def bulk_share(self) -> float:
        """Share of all eigenvalues that lie around zero, within a twentieth of the largest."""
        near = np.abs(self.grid) <= 0.05 * self.top[0]
        return float(self.density[near].sum() / self.density.sum())

    def __str__(self) -> str:
        """Bulk and outliers in a sentence."""
        found = self.outliers
        span = f", {self.top[found - 1]:.3g} to {self.top[0]:.3g}" if found else ""
        return f"{100 * self.bulk_share:.0f} % of the eigenvalues around zero, {found} outliers{span}"


class HessianProduct:
    """v -> H v for the mean loss over some batches.

    Args:
        loss: a function of one batch that returns a scalar with a graph to the parameters.
        batches: what it is called with; the loss is the mean over them.
        parameters: with respect to which the Hessian is taken.
    """

    def __init__(
        self, loss: Callable[..., Tensor], batches: Iterable[tuple], parameters: Sequence[nn.Parameter]
    ) -> None:
        self.loss, self.batches = loss, list(batches)
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters or not self.batches:
            raise ConfigurationError("a Hessian needs parameters that are trained and at least one batch")
        self.size = sum(p.numel() for p in self.parameters)

    def __call__(self, vector: Tensor) -> Tensor:
        """(size,) -> (size,), float64."""
        total = torch.zeros(self.size, dtype=torch.float64)
        parts = self._split(vector)
        for batch in self.batches:
            grads = torch.autograd.grad(self.loss(*batch), self.parameters, create_graph=True, allow_unused=True)
            pairs = [(g, v) for g, v in zip(grads, parts, strict=True) if g is not None and g.requires_grad]
            found = torch.autograd.grad(
                [g for g, _ in pairs], self.parameters, [v for _, v in pairs], allow_unused=True
            )
            flat = [torch.zeros_like(p) if f is None else f for f, p in zip(found, self.parameters, strict=True)]
            total += torch.cat([f.detach().reshape(-1).double().cpu() for f in flat])
        return total / len(self.batches)

    def _split(self, vector: Tensor) -> list[Tensor]:
        pieces = vector.split([p.numel() for p in self.parameters])
        return [v.view(p.shape).to(p) for v, p in zip(pieces, self.parameters, strict=True)]

    def dense(self) -> np.ndarray:
        """The whole matrix, (size, size): for small networks only."""
        columns = [self(row).numpy() for row in torch.eye(self.size, dtype=torch.float64)]
        matrix = np.stack(columns, axis=1)
        return (matrix + matrix.T) / 2


def lanczos(product: Product, size: int, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tridiagonal matrix of a Lanczos iteration from a random start.

    Args:
        product: v -> A v of a symmetric matrix.
        size: of the matrix.
        steps: at most so many; fewer if an invariant subspace is met.
        seed: of the start.

    Returns:
        diagonal (m,), off-diagonal (m - 1,).
    """
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(size, generator=generator, dtype=torch.float64)
    basis = [v / v.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(steps, size)):
        w = product(basis[-1]).double()
        diagonal.append(float(w @ basis[-1]))
        kept = torch.stack(basis)
        for _ in range(2):  # twice is enough (Giraud et al., 2005)
            w = w - kept.T @ (kept @ w)
        norm = float(w.norm())
        if len(diagonal) == min(steps, size) or norm < 1e-10 * max(1.0, abs(diagonal[0])):
            break
        beside.append(norm)
        basis.append(w / norm)
    return np.array(diagonal), np.array(beside[: len(diagonal) - 1])


def top_eigenvalues(product: Product, size: int, k: int = 1, *, steps: int = 60, seed: int = 0) -> np.ndarray:
    """The k algebraically largest eigenvalues, falling, (k,).

    Raises:
        ConfigurationError: if k is not between 1 and the number of steps.
    """
    if not 1 <= k <= min(steps, size):
        raise ConfigurationError(f"k must lie in 1..{min(steps, size)}, got {k}; raise steps")
    from scipy.linalg import eigh_tridiagonal

    diagonal, beside = lanczos(product, size, steps, seed)
    return eigh_tridiagonal(diagonal, beside, eigvals_only=True)[::-1][:k].copy()


def spectrum(product: Product, size: int, *, k: int = 10, steps: int = 60, starts: int = 4, seed: int = 0) -> Spectrum:
    """Density of the eigenvalues by stochastic Lanczos quadrature, and the largest ones.

    Args:
        product: v -> H v.
        size: of the matrix.
        k: largest eigenvalues to give.
        steps: of each iteration.
        starts: random starts that are averaged.
        seed: of the starts.
    """
    from scipy.linalg import eigh_tridiagonal

    found = []
    for i in range(starts):
        values, vectors = eigh_tridiagonal(*lanczos(product, size, steps, seed + i))
        found.append((values, vectors[0] ** 2))
    low, high = min(v[0] for v, _ in found), max(v[-1] for v, _ in found)
    grid = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), 512)
    width = (high - low) / 200 + 1e-12
    density = np.zeros_like(grid)
    for values, weights in found:
        bumps = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        density += bumps @ weights / starts
    return Spectrum(top_eigenvalues(product, size, k, steps=steps, seed=seed), grid, density)


def hessian_top(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    k: int = 1,
    *,
    steps: int = 60,
    seed: int = 0,
) -> np.ndarray:
    """The k largest eigenvalues of the Hessian of a network's mean loss, (k,).

    Args:
        net: in the mode in which it is to be measured.
        loss: (outputs, targets) -> scalar.
        batches: (inputs, targets).
        k: how many.
        steps: Lanczos steps.
        seed: of the start.
    """
    product = HessianProduct(lambda x, y: loss(net(x), y), batches, list(net.parameters()))
    return top_eigenvalues(product, product.size, k, steps=steps, seed=seed)
