"""Serving cost of decoder shapes: the objective of a search over language-model shapes and their deployment.

The space's tree is a `Decoder` with choices, or a mapping with a `decoder` and any of `batch`, `tensor`, `pipeline`,
`expert`. Models in `llm.py` and `tiles.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.costs import llm
from archwright.costs.base import Columns
from archwright.costs.columns import columns_of
from archwright.costs.decoder import Decoder, field_names
from archwright.costs.llm_operators import Split, Widths
from archwright.costs.tiles import well_sized
from archwright.errors import ConfigurationError
from archwright.platforms import Platform, load
from archwright.registry import register
from archwright.space import Architecture, Architectures, Space

if TYPE_CHECKING:
    from torch import Tensor

BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5, "fp32": 4.0}


def device_of(platform: str | Path | Platform, dtype: str = "bf16", *, tiles: bool = False) -> llm.Device:
    """The device that a platform describes, at one number format; an unknown rate is NaN.

    Raises:
        ConfigurationError: if the platform has no compute, memory or capacity, or the format is not known.
    """
    p = load(platform)
    if dtype not in BYTES:
        raise ConfigurationError(f"a number format is one of {', '.join(BYTES)}; got {dtype!r}")
    c, m = p.need("compute", "llm"), p.need("memory", "llm")
    if m.capacity_b is None:
        raise ConfigurationError(f"the cost model 'llm' needs memory.capacity_b, which {p.name!r} does not give")
    found = getattr(c, f"{dtype}_ops_per_s")
    return llm.Device(
        ops_per_s=np.nan if found is None else found,
        memory_b_per_s=m.b_per_s,
        memory_b=m.capacity_b,
        link_b_per_s=np.inf if p.link is None else p.link.b_per_s,
        link_latency_s=0.0 if p.link is None else p.link.latency_s,
        onchip_b_per_s=np.inf if m.onchip_b_per_s is None else m.onchip_b_per_s,
        vector_ops_per_s=np.inf if c.vector_ops_per_s is None else c.vector_ops_per_s,
        launch_s=c.launch_s,
        compute_efficiency=c.efficiency_share,
        memory_efficiency=m.efficiency_share,
        link_efficiency=1.0 if p.link is None else p.link.efficiency_share,
        tiles=p.tiles if tiles else None,
    )


@register("costs", "llm", labels={"estimation": "analytic"})
class LLM:
    """Time to first token, time per token, throughput, memory and size of decoders on a platform.

    Args:
        space: of `Decoder` shapes, with or without deployment choices.
        platform: name, file or value.
        batch: sequences at once.
        input_tokens: of each prompt.
        output_tokens: of each answer.
        dtype: number format of weights, activations and products.
        kv_dtype: number format of the key-value cache.
        tensor: devices for tensor parallelism; also `pipeline` and `expert` in the space.
        chunk: tokens of a prefill chunk, None = whole prompts.
        tiles: whether partly filled tiles slow matrix products down.
    """

    metrics = (
        "ttft_ms", "tpot_ms", "latency_ms", "tokens_per_s", "memory_gb", "params_m", "well_sized_share",
    )  # fmt: skip
    deterministic = True
    cheap = True

    def __init__(
        self,
        space: Space,
        *,
        platform: str | Path | Platform,
        batch: int = 1,
        input_tokens: int = 1024,
        output_tokens: int = 128,
        dtype: str = "bf16",
        kv_dtype: str = "bf16",
        tensor: int = 1,
        chunk: int | None = None,
        tiles: bool = True,
    ) -> None:
        for name, value in (("batch", batch), ("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if value < 1:
                raise ConfigurationError(f"{name} is at least 1, got {value}")
        self.space, self.platform = space, load(platform)
        self.device = device_of(self.platform, dtype, tiles=tiles)
        self.widths = Widths(BYTES[dtype], BYTES[dtype], BYTES[kv_dtype])
        self.defaults = {"batch": batch, "tensor": tensor, "pipeline": 1, "expert": 1}
        self.input_tokens, self.output_tokens, self.chunk = float(input_tokens), float(output_tokens), chunk

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,); times are NaN where the model does not fit or cannot be split so."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        model, chosen = self._read(codes)
        split = Split(chosen["tensor"], chosen["pipeline"], chosen["expert"])
        got = llm.serve(
            model, self.device, batch=chosen["batch"], input_tokens=self.input_tokens, output_tokens=self.output_tokens,
            widths=self.widths, split=split, chunk=self.chunk,
        )  # fmt: skip
        sized: Any = 1.0 if self.platform.tiles is None else well_sized(model, self.platform.tiles, chosen["tensor"])
        columns = (
            1e3 * got.ttft_s, 1e3 * got.tpot_s, 1e3 * got.latency_s, got.tokens_per_s, got.memory_b / 1e9,
            model.weights / 1e6, sized,
        )  # fmt: skip
        n = len(codes)
        return {
            m: np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)).copy()
            for m, v in zip(self.metrics, columns, strict=True)
        }

    def reasons(self, architectures: Architectures | np.ndarray) -> list[str]:
        """Why each architecture has no times, or that it fits."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        model, chosen = self._read(codes)
        split = Split(chosen["tensor"], chosen["pipeline"], chosen["expert"])
        got = llm.serve(
            model, self.device, batch=chosen["batch"], input_tokens=self.input_tokens, output_tokens=self.output_tokens,
            widths=self.widths, split=split, chunk=self.chunk,
        )  # fmt: skip
        return [llm.REASONS[int(r)] for r in np.broadcast_to(got.reason, (len(codes),))]

    def explain(self, architecture: Architecture) -> list[dict[str, Any]]:
        """Each operator of the prompt's pass and of the first token's: phase, time, what bounds it, amounts."""
        model, chosen = self._read(np.asarray(architecture.code)[None])
        alone = Decoder(**{n: np.asarray(getattr(model, n)).reshape(-1)[0].item() for n in field_names()})
        one = {k: float(np.asarray(v).reshape(-1)[0]) for k, v in chosen.items()}
        split = Split(one["tensor"], one["pipeline"], one["expert"])
        return [
            {"phase": phase, **line}
            for phase, queries, cached in (("prefill", self.input_tokens, 0.0), ("decode", 1.0, self.input_tokens))
            for line in llm.explain(
                alone, self.device, batch=one["batch"], queries=queries, cached=cached, widths=self.widths, split=split
            )
        ]

    def expected(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Expected metrics under independent decisions, differentiable in the probabilities; every setting is listed.

        A metric is NaN if some setting has none: leave those out of the space.

        Raises:
            ConfigurationError: if a decision has no probabilities, or there are too many settings.
        """
        from archwright.costs.expected_platform import average, settings_of

        decisions = list(self.space.decisions)
        if "_settings" not in self.__dict__:
            self.__dict__["_settings"] = self.evaluate(settings_of(self.space, decisions))
        return average(self.__dict__["_settings"], decisions, probabilities)

    def _read(self, codes: np.ndarray) -> tuple[Decoder, dict[str, Any]]:
        found = columns_of(self.space, codes)
        own = {k.removeprefix("decoder."): v for k, v in found.items()}
        missing = [n for n in field_names() if n not in own]
        if missing:
            raise ConfigurationError(
                f"the cost model 'llm' needs a Decoder at the root or as `decoder`; the field {missing[0]!r} is missing"
            )
        model = Decoder(**{n: own[n] for n in field_names()})
        return model, {k: own.get(k, v) for k, v in self.defaults.items()}
