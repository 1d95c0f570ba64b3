"""One network that holds every network of a space, with shared weights.

Sharing follows from the choice: ordered choices in elastic fields slice one largest weight, options of any other choice
have weights of their own, a repeat shares its first copies. Running a subnet and extracting it use the same modules and
the same cuts, so they agree bit for bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.nets.build import Network, annotated
from archwright.nets.cut import AxisSizes, Cut, cut_of, dense, joined
from archwright.nets.hull import HullWalker, Site
from archwright.nets.joint import join
from archwright.nets.program import Program, Step, record, site_name
from archwright.nets.transform import KernelTransform, TransformedCut, kernel_sizes, transformed
from archwright.operators.base import Leaf, Shape
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.nets.flow import Weights
    from archwright.nets.mixing import Mixing

# Buffers that are part of the weights: the running statistics of batch norms. Others are constants of the module.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NETWORKS_KEPT = 64
LAYERS_KEPT = 8192


def _transform_key(name: str, tensor: str) -> str:
    return f"{name}:{tensor}".replace(".", "_")


@dataclass(frozen=True, eq=False)
class Binding:
    """One tensor of a subnet's module and where it is cut from: dictionaries that hold them, and the cut."""

    name: str
    target: dict[str, Any]
    source: dict[str, Any]
    key: str
    cut: Cut


class SharedLayer(nn.Module):
    """A subnet's module whose tensors are cut from the supernet's at every call."""

    def __init__(self, module: nn.Module, bindings: tuple[Binding, ...], used: set[Binding]) -> None:
        super().__init__()
        self.module = module
        self._bindings = bindings
        self._used = used

    @property
    def cuts(self) -> bool:
        """Whether it has tensors of the supernet."""
        return bool(self._bindings)

    def forward(self, *values: Tensor) -> Tensor:
        """Cut, then run."""
        if torch.compiler.is_compiling():  # compiled code may not change what a module holds
            cut = {b.name: dense(b.cut(b.source[b.key]), b.source[b.key]) for b in self._bindings}
            return torch.func.functional_call(self.module, cut, values)
        for b in self._bindings:
            large = b.source[b.key]
            b.target[b.key] = dense(b.cut(large), large)
        if torch.is_grad_enabled():
            self._used.update(self._bindings)
        return self.module(*values)


class Supernet(nn.Module):
    """All networks of a space, sharing weights.

    Args:
        space: whose tree is, or holds as `network`, an operator.
        input_shapes: of each input, without the batch axis.

    Raises:
        SpaceError: if the space has no network or its parts do not fit.
    """

    def __init__(self, space: Space, *input_shapes: Shape) -> None:
        super().__init__()
        self.space = space
        self.input_shapes = tuple(tuple(s) for s in input_shapes)
        self.root = annotated(space)
        walker = HullWalker()
        self.shape = walker.run(self.root, *self.input_shapes)
        self.sites: Mapping[str, Site] = walker.sites
        self.large = nn.ModuleDict()
        for site in self.sites.values():
            for k, leaf in enumerate(site.variants.values()):
                self.large[self._name(site, k)] = leaf.module(*site.shapes)
        self.transforms = nn.ModuleDict()
        self.joint = False
        self._forget()

    def join_norms(self) -> None:
        """Take the statistics of batch norms over all ranks of torch.distributed from now on; see `nets.joint`."""
        self.joint = True
        join(self.large)
        self._forget()

    def transform_kernels(self) -> None:
        """Learn a matrix for every smaller kernel from now on; identities at first. See `nets.transform`."""
        for site in self.sites.values():
            for leaf in site.variants.values():
                for tensor, sizes, axes in kernel_sizes(site, leaf):
                    key = _transform_key(self.name_of(site, leaf), tensor)
                    if key not in self.transforms:
                        like = next(self.large[self.name_of(site, leaf)].parameters())
                        self.transforms[key] = KernelTransform(sizes, axes).to(like.device, like.dtype)
        self._forget()

    def prepare_for(self, names: Iterable[str]) -> None:
        """Take on what a saved state of these names has beside the weights."""
        if any(name.startswith("transforms.") for name in names):
            self.transform_kernels()

    def name_of(self, site: Site, leaf: Leaf) -> str:
        """The name of a variant's module in `large`."""
        return self._name(site, list(site.variants).index(site.key(leaf)))

    @staticmethod
    def _name(site: Site, variant: int) -> str:
        name = site_name(site.name) or "network"
        return name if len(site.variants) == 1 else f"{name}_variant{variant}"

    def _forget(self) -> None:
        self._networks: OrderedDict[bytes, Network] = OrderedDict()
        self._layers: OrderedDict[Any, SharedLayer] = OrderedDict()
        self._used: set[Binding] = set()
        self._mixtures: dict[Any, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_networks", "_layers", "_used", "_mixtures")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _apply(self, *args: Any, **kwargs: Any) -> Supernet:
        super()._apply(*args, **kwargs)
        self._forget()
        return self

    def train(self, mode: bool = True) -> Supernet:
        """Training or evaluation mode, for the shared layers in use as well."""
        super().train(mode)
        for part in (*self._layers.values(), *self._networks.values()):
            part.train(mode)
        return self

    # ---- running -----------------------------------------------------------------------------------------------

    def forward(
        self, x: Tensor | tuple[Tensor, ...], architecture: Architecture, indices: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Outputs of one subnet.

        Args:
            x: (batch, ...) or a tuple of inputs.
            architecture: of this supernet's space.
            indices: index sets in place of prefixes: `"<site>:<axis>"` -> (size,) int64 positions in the largest.

        Raises:
            SpaceError: if the architecture is of another space, or an index set does not fit.
        """
        net = self.subnet(architecture, indices)
        return net(*x) if isinstance(x, tuple) else net(x)

    def mixture(
        self, x: Tensor | tuple[Tensor, ...], weights: Mapping[str, Tensor] | Weights, mixing: Mixing | None = None
    ) -> Tensor:
        """Outputs of all networks at once, weighted; with one-hot weights those of one subnet.

        Args:
            x: (batch, ...) or a tuple of inputs.
            weights: decision path -> (options,); or `Weights`, which may also say which options take part.
            mixing: how candidates are combined.

        Raises:
            SpaceError: if the space cannot be mixed.
        """
        from archwright.nets.mixing import Mixing, Mixture, Weights

        mixing = mixing or Mixing()
        if not self.training and mixing.compiled != "no":  # compiled code is kept for training alone
            mixing = replace(mixing, compiled="no")
        if self.transforms and mixing.entangled:
            raise SpaceError("kernels with learned transforms cannot share one call; mix with entangled=False")
        if mixing not in self._mixtures:
            self._mixtures[mixing] = Mixture(self, mixing)
        given = weights if isinstance(weights, Weights) else Weights(weights)
        return self._mixtures[mixing].run(x if isinstance(x, tuple) else (x,), given, training=self.training)

    def subnet(self, architecture: Architecture, indices: Mapping[str, Tensor] | None = None) -> Network:
        """The network of shared layers that `forward` runs; it follows the supernet's weights and mode."""
        net = None if indices else self._networks.get(architecture.key)
        if net is None:
            program = self.program(architecture)
            local = self._local_indices(program, indices or {})
            net = Network(program, lambda step: self._shared(step, local.get(step.name, {}))).train(self.training)
            if not indices:
                self._networks[architecture.key] = net
                if len(self._networks) > NETWORKS_KEPT:
                    self._networks.popitem(last=False)
        else:
            self._networks.move_to_end(architecture.key)
        return net.train(self.training) if indices else net

    def program(self, architecture: Architecture) -> Program:
        """The steps of one architecture of this space.

        Raises:
            SpaceError: if it is of another space.
        """
        if architecture.space is not self.space and architecture.space.digest != self.space.digest:
            raise SpaceError(
                f"this supernet holds the space {self.space.digest}, the architecture is of {architecture.space.digest}"
            )
        return record(self.root, self.input_shapes, architecture.code.tolist())

    def _blank(self, step: Step) -> nn.Module:
        """A module to hold cut weights; its own are overwritten, so drawing them must not move torch's generator."""
        with torch.random.fork_rng(devices=[]):
            return step.leaf.module(*step.input_shapes).to(self._device())

    def _shared(self, step: Step, indices: Mapping[str, Tensor], *, apart: bool = False) -> nn.Module:
        """The layer of a step; with index sets or `apart` one that nothing else runs."""
        key, apart = (step.leaf.site, step.leaf, step.input_shapes), apart or bool(indices)
        if not apart and key in self._layers:
            return self._layers[key]
        module = self._blank(step)
        bindings = tuple(self._bindings(step, module, indices)) if step.leaf.site else ()
        if not step.leaf.site and any(True for _ in module.parameters()):
            raise SpaceError(f"{step.leaf!r} has weights but no site; let its composite place it with `inner`")
        layer = SharedLayer(join(module) if self.joint else module, bindings, self._used)
        layer.train(self.training)
        if not apart:
            self._layers[key] = layer
            if len(self._layers) > LAYERS_KEPT:
                self._layers.popitem(last=False)
        return layer

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    # ---- what belongs to what ------------------------------------------------------------------------------------

    def _large(self, leaf: Leaf) -> tuple[Site, nn.Module, Leaf]:
        site = self.sites[leaf.site]
        key = site.key(leaf)
        variant = list(site.variants).index(key)
        return site, self.large[self._name(site, variant)], site.variants[key]

    def _bindings(self, step: Step, module: nn.Module, indices: Mapping[str, Tensor]) -> Iterator[Binding]:
        site, large, large_leaf = self._large(step.leaf)
        sizes = AxisSizes(large_leaf.axis_sizes(*site.shapes), step.leaf.axis_sizes(*step.input_shapes))
        owners = dict(large.named_modules())
        for prefix, owner in module.named_modules():
            for kind in ("_parameters", "_buffers"):
                target = getattr(owner, kind)
                for key, small in target.items():
                    if small is None or (kind == "_buffers" and key not in STATISTICS):
                        continue
                    name = f"{prefix}.{key}" if prefix else key
                    source = getattr(owners.get(prefix), kind, {})
                    if source.get(key) is None:
                        raise SpaceError(f"{step.leaf!r} needs the tensor {name!r}, which {large_leaf!r} does not have")
                    cut = cut_of(step.leaf, name, source[key].shape, small.shape, sizes, indices)
                    own = _transform_key(self.name_of(site, large_leaf), name)
                    if own in self.transforms and cut.index:
                        cut = transformed(cut, self.transforms[own], small.shape[-1])  # type: ignore[arg-type]
                    yield Binding(name, target, source, key, cut)

    def _local_indices(self, program: Program, indices: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Step name -> axis -> index set, the input axes following what the steps before put out."""
        if not indices:
            return {}
        given: dict[str, dict[str, Tensor]] = {}
        for name, index in indices.items():
            site, _, axis = name.rpartition(":")
            if site not in self.sites:
                raise SpaceError(f"the index set {name!r} should name one of the sites, as in '<site>:hidden'")
            given.setdefault(site, {})[axis] = torch.as_tensor(index, dtype=torch.int64)
        outputs: dict[int, Tensor | None] = dict.fromkeys(range(len(program.input_shapes)))
        local: dict[str, dict[str, Tensor]] = {}
        for step in program.steps:
            incoming = [outputs[n] for n in step.inputs]
            own = dict(given.get(step.leaf.site, {}))
            for i, arriving in enumerate(incoming):
                if arriving is not None:
                    own[f"in{i}" if len(incoming) > 1 else "in"] = arriving
            local[step.name] = own
            outputs[step.output] = own.get("out") if self._makes_channels(step) else self._passed(step, incoming)
        return local

    def _makes_channels(self, step: Step) -> bool:
        if not step.leaf.site:
            return False
        _, large, leaf = self._large(step.leaf)
        return any("out" in leaf.axes_of(name, tensor.dim()) for name, tensor in large.named_parameters())

    def _passed(self, step: Step, incoming: list[Tensor | None]) -> Tensor | None:
        shapes = self.sites[step.leaf.site].shapes if step.leaf.site else step.input_shapes
        return joined(step.leaf, incoming, shapes)

    # ---- taking networks out -------------------------------------------------------------------------------------

    @torch.no_grad()
    def extract(self, architecture: Architecture, indices: Mapping[str, Tensor] | None = None) -> Network:
        """A plain network with weights of its own whose outputs equal the subnet's bit for bit.

        Raises:
            SpaceError: as `forward`.
        """
        program = self.program(architecture)
        local = self._local_indices(program, indices or {})

        def make(step: Step) -> nn.Module:
            module = self._blank(step)
            if step.leaf.site:
                for b in list(self._bindings(step, module, local.get(step.name, {}))):
                    value = dense(b.cut(b.source[b.key]), b.source[b.key]).detach().clone()
                    b.target[b.key] = nn.Parameter(value) if isinstance(b.target[b.key], nn.Parameter) else value
            return module

        return Network(program, make).train(self.training)

    def parameters_of(self, architecture: Architecture) -> list[nn.Parameter]:
        """The supernet's parameters of which the architecture uses at least a part."""
        net = self.subnet(architecture)
        layers = (m for m in net.modules() if isinstance(m, SharedLayer))
        found = {id(b.source[b.key]): b.source[b.key] for layer in layers for b in layer._bindings}
        return [p for p in found.values() if isinstance(p, nn.Parameter)]

    # ---- which weights took part ---------------------------------------------------------------------------------

    def reset_active(self) -> None:
        """Forget which weights took part so far."""
        self._used.clear()

    def active_since_reset(self) -> dict[nn.Parameter, Tensor | None]:
        """Parameters that took part in a forward pass with gradients since `reset_active`.

        Returns:
            parameter -> bool mask of its shape, True = took part; None = all of it did.
        """
        cuts: dict[int, list[Cut]] = {}
        parameters: dict[int, nn.Parameter] = {}
        for b in self._used:
            large = b.source[b.key]
            if isinstance(large, nn.Parameter):
                parameters[id(large)] = large
                cuts.setdefault(id(large), []).append(b.cut)
        active: dict[nn.Parameter, Tensor | None] = {}
        for key, parameter in parameters.items():
            for cut in cuts[key]:
                if isinstance(cut, TransformedCut) and cut.transform is not None:
                    active.update(dict.fromkeys(cut.transform.used(cut.size)))
            if any(not c.index for c in cuts[key]):
                active[parameter] = None
                continue
            mask = torch.zeros(parameter.shape, dtype=torch.bool)
            for cut in cuts[key]:
                cut.mark(mask)
            active[parameter] = None if bool(mask.all()) else mask.to(parameter.device)
        return active
