"""What is trained: the supernet, the architecture parameters and the mixture that joins them, as one module.

Both kinds of parameters live in one module, so that a checkpoint holds both and no rank or copy can lose one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.gradient.mixings.base import MixingMethod
from archwright.gradient.relaxations.base import Draw, Phase, Relaxation
from archwright.nets.compiled import Compiled
from archwright.nets.flow import Weights
from archwright.nets.supernet import Supernet
from archwright.operators.base import Shape
from archwright.space import Architecture, Space
from archwright.tasks.split import Inputs


class Core(nn.Module):
    """A supernet with architecture parameters.

    Args:
        space: that is searched.
        input_shapes: of each input, without the batch axis.
        relaxation: architecture parameters to weights.
        mixing: how candidates are combined.
        seed: of the initial parameters.
        stacked: space of the supernet, with the decisions of the searched one; the searched one itself when None.

    Raises:
        SpaceError: if the space cannot be mixed.
    """

    def __init__(
        self,
        space: Space,
        *input_shapes: Shape,
        relaxation: Relaxation,
        mixing: MixingMethod,
        seed: int = 0,
        stacked: Space | None = None,
    ) -> None:
        super().__init__()
        self.space, self.relaxation, self.method = space, relaxation, mixing
        inner = mixing.search_space(space if stacked is None else stacked)
        if [d.size for d in inner.decisions] != [d.size for d in space.decisions]:
            raise SpaceError("the space of the mixture must have the decisions of the searched space")
        self.inner = inner
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.supernet = Supernet(inner, *input_shapes)
        self.alphas = nn.ParameterDict()
        for d in inner.decisions:
            self.alphas[key(d.path)] = nn.Parameter(relaxation.initial(d.size, generator))
        self.betas = nn.ParameterDict()
        for name, count in mixing.extra(inner).items():
            self.betas[key(name)] = nn.Parameter(1e-3 * torch.randn(count, generator=generator))
        for parameter in self.architecture_parameters():
            parameter.requires_grad_(relaxation.learned)
        self.companion = mixing.companion(self.supernet)
        self.progress = 0.0  # share of the search that is over
        self.compiled: Compiled = "no"  # how passes with a gradient run
        self.blocked: dict[str, Tensor] = {}

    # ---- parameters ----------------------------------------------------------------------------------------------

    def architecture_parameters(self) -> list[nn.Parameter]:
        """Of all decisions, then those of the mixing."""
        return [*self.alphas.values(), *self.betas.values()]

    def weight_parameters(self) -> list[nn.Parameter]:
        """The shared weights, and what the mixing learns with them."""
        return [*self.supernet.parameters(), *(self.companion.parameters() if self.companion is not None else ())]

    def alpha(self) -> dict[str, Tensor]:
        """Decision path of the supernet's space -> parameters (options,)."""
        return {unkey(k): v for k, v in self.alphas.items()}

    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.alphas.values())).device if len(self.alphas) else self.supernet._device()

    # ---- weights of the mixture ----------------------------------------------------------------------------------

    def weights(self, draw: Draw) -> Weights:
        """Weights of one step; in the weights' phase without a gradient to the architecture parameters."""
        parameters, extra = self.alpha(), self.edge_parameters()
        if draw.phase == "weights":
            parameters = {p: v.detach() for p, v in parameters.items()}
            extra = {p: v.detach() for p, v in extra.items()}
        found = self.relaxation.weights(parameters, draw)
        values = {**found.values, **self.method.extra_weights(extra)}
        return Weights(values, found.active, found.probed)

    def outputs(self, inputs: Inputs, weights: Weights) -> Tensor:
        """Outputs of the mixture, (batch, ...)."""
        with self.method.applied(self.supernet, self.companion, self.progress):
            engine = self.method.engine()
            if self.compiled != "no" and torch.is_grad_enabled():
                engine = replace(engine, compiled=self.compiled)
            return self.supernet.mixture(inputs, weights, engine)

    def path(self, inputs: Inputs, architecture: Architecture) -> Tensor:
        """Outputs of one subnet, given by an architecture of the supernet's own space."""
        with self.method.applied(self.supernet, self.companion, self.progress):
            return self.supernet(inputs, architecture)

    def one_hot(self, code: list[int]) -> Weights:
        """Weights that pick one architecture of the searched space by its code."""
        device, values, active = self.device(), {}, {}
        for d in self.inner.decisions:
            k = max(code[d.index], 0)
            values[d.path] = torch.nn.functional.one_hot(torch.tensor(k, device=device), d.size).float()
            active[d.path] = (k,)
        return Weights({**values, **self.edge_strengths()}, active)

    def probabilities(self, *, detach: bool = False) -> dict[str, Tensor]:
        """Decision path of the searched space -> chances (options,), summing to 1."""
        out = {}
        for d, inner in zip(self.space.decisions, self.inner.decisions, strict=True):
            parameter = self.alphas[key(inner.path)]
            parameter = parameter.detach() if detach else parameter
            out[d.path] = self.relaxation.probabilities(parameter, self.blocked.get(inner.path))
        return out

    def expected_weights(self) -> Weights:
        """The chances themselves as weights: the mixture without noise, for measuring."""
        values = {
            path: self.relaxation.probabilities(parameter.detach(), self.blocked.get(path))
            for path, parameter in self.alpha().items()
        }
        return Weights({**values, **self.edge_strengths()})

    def edge_strengths(self) -> dict[str, Tensor]:
        """Weights of edge vectors of the mixing, if it has any; without a gradient."""
        return dict(self.method.extra_weights({name: v.detach() for name, v in self.edge_parameters().items()}))

    def edge_parameters(self) -> dict[str, Tensor]:
        """Name -> the mixing's own architecture parameters."""
        return {unkey(k): v for k, v in self.betas.items()}

    def block(self, index: int, options: list[int]) -> None:
        """Remove options of a decision; at least one must stay.

        Raises:
            SpaceError: if none would stay.
        """
        decision = self.inner.decisions[index]
        mask = self.blocked.get(decision.path, torch.zeros(decision.size, dtype=torch.bool, device=self.device()))
        mask = mask.clone()
        mask[options] = True
        if bool(mask.all()):
            raise SpaceError(f"all options of {decision.label!r} would be removed; keep at least one")
        self.blocked[decision.path] = mask

    def left(self, index: int) -> list[int]:
        """The options of a decision that are still there."""
        decision = self.inner.decisions[index]
        mask = self.blocked.get(decision.path)
        return [k for k in range(decision.size) if mask is None or not bool(mask[k])]

    def fix(self, index: int, option: int) -> None:
        """Keep one option of a decision, whatever was removed before."""
        decision = self.inner.decisions[index]
        mask = torch.ones(decision.size, dtype=torch.bool, device=self.device())
        mask[option] = False
        self.blocked[decision.path] = mask

    def network(self, architecture: Architecture) -> nn.Module:
        """A plain network of the searched space's architecture with the inherited weights.

        With a mixing that changes the operators (partial channels) the network is that of the supernet's own space.
        """
        with self.method.applied(self.supernet, self.companion, self.progress):
            return self.supernet.extract(self.inner.architectures(architecture.code[None])[0])


def key(path: str) -> str:
    """A path as a name of a parameter, which may hold no dots."""
    return path.replace("%", "%25").replace(".", "%2E")


def unkey(name: str) -> str:
    """The path of a parameter's name."""
    return name.replace("%2E", ".").replace("%25", "%")


@contextmanager
def frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Parameters that get no gradient for a while."""
    before = [p.requires_grad for p in parameters]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p, flag in zip(parameters, before, strict=True):
            p.requires_grad_(flag)


def entropy(probabilities: Mapping[str, Tensor]) -> Tensor:
    """Mean over decisions of the entropy relative to equal chances, in [0, 1]; decisions of one option are left out."""
    terms = []
    for p in probabilities.values():
        if p.numel() > 1:
            terms.append(-(p * p.clamp_min(1e-12).log()).sum() / torch.log(torch.tensor(float(p.numel()))).to(p))
    return torch.stack(terms).mean() if terms else torch.zeros(())


def total_entropy(probabilities: Mapping[str, Tensor]) -> Tensor:
    """Sum over decisions of the entropy in nats."""
    return torch.stack([-(p * p.clamp_min(1e-12).log()).sum() for p in probabilities.values()]).sum()


__all__ = ["Core", "Phase", "entropy", "frozen", "total_entropy"]
