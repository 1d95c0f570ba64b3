"""Shapes of decoder-only language models: what a cost model needs to know of a transformer.

Every field may be a number, an array over models, or a choice of a search space. The named shapes are facts of the
published configurations (each model's config.json on the Hugging Face hub).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from archwright.errors import ConfigurationError, nearest


@dataclass(frozen=True)
class Decoder:
    """Shape of a decoder-only transformer.

    ffn: hidden width of a feed-forward block (of one expert). gates: matrices in its first half, 2 for gated units.
    experts, active_experts: 1, 1 for dense models. window: tokens of local attention, 0 = none, in `windowed_share`
    of the layers. tied: the classifier shares the embedding's weights.
    """

    hidden: Any
    layers: Any
    heads: Any
    kv_heads: Any
    head_dim: Any
    ffn: Any
    gates: Any
    vocab: Any
    experts: Any = 1
    active_experts: Any = 1
    window: Any = 0
    windowed_share: Any = 0.0
    tied: Any = False

    @property
    def weights(self) -> Any:
        """Parameters of the matrices: embeddings, attention, feed-forward, router, classifier."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        expert = self.hidden * self.ffn * (self.gates + 1)
        router = self.hidden * self.experts * (self.experts > 1)
        return self.layers * (attention + self.experts * expert + router) + self.vocab * self.hidden * (2 - self.tied)

    @property
    def active_weights(self) -> Any:
        """Parameters that one token multiplies."""
        idle = self.layers * (self.experts - self.active_experts) * self.hidden * self.ffn * (self.gates + 1)
        return self.weights - idle - self.vocab * self.hidden * (1 - self.tied)


# hidden, layers, heads, kv_heads, head_dim, ffn, gates, vocab[, experts, active_experts]
_SHAPES: dict[str, tuple[int, ...]] = {
    "gpt2": (768, 12, 12, 12, 64, 3072, 1, 50257),
    "opt-125m": (768, 12, 12, 12, 64, 3072, 1, 50272),
    "opt-350m": (1024, 24, 16, 16, 64, 4096, 1, 50272),
    "opt-1.3b": (2048, 24, 32, 32, 64, 8192, 1, 50272),
    "llama-2-7b": (4096, 32, 32, 32, 128, 11008, 2, 32000),
    "llama-2-13b": (5120, 40, 40, 40, 128, 13824, 2, 32000),
    "llama-2-70b": (8192, 80, 64, 8, 128, 28672, 2, 32000),
    "llama-3.1-8b": (4096, 32, 32, 8, 128, 14336, 2, 128256),
    "llama-3.1-70b": (8192, 80, 64, 8, 128, 28672, 2, 128256),
    "qwen2.5-7b": (3584, 28, 28, 4, 128, 18944, 2, 152064),
    "gemma-2b": (2048, 18, 8, 1, 256, 16384, 2, 256000),
    "gemma-7b": (3072, 28, 16, 16, 256, 24576, 2, 256000),
    "gemma-2-2b": (2304, 26, 8, 4, 256, 9216, 2, 256000),
    "gemma-2-9b": (3584, 42, 16, 8, 256, 14336, 2, 256000),
    "gemma-2-27b": (4608, 46, 32, 16, 128, 36864, 2, 256000),
    "mistral-7b": (4096, 32, 32, 8, 128, 14336, 2, 32000),
    "mixtral-8x7b": (4096, 32, 32, 8, 128, 14336, 2, 32000, 8, 2),
}


def decoder(name: str) -> Decoder:
    """A published model's shape by its hub name, with or without the organisation.

    Raises:
        ConfigurationError: if the name is not known; `from_config` takes any configuration.
    """
    key = name.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    if key not in _SHAPES:
        raise ConfigurationError(f"no shape is known for the model {name!r}; {nearest(key, _SHAPES)}")
    window = 4096 if key.startswith("gemma-2-") else 0
    shape: dict[str, Any] = dict(zip(field_names(), _SHAPES[key], strict=False))
    shape["window"], shape["windowed_share"] = window, 0.5 if window else 0.0
    shape["tied"] = key.startswith(("gpt", "gemma"))
    return Decoder(**shape)


# families whose first feed-forward half is one matrix, and those that tie embeddings unless their file says otherwise
_PLAIN = frozenset(
    {"bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "nemotron", "opt",
     "persimmon", "phi", "starcoder2"}
)  # fmt: skip
_TIED = frozenset(
    {"bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "gpt_neo", "mpt", "opt", "starcoder2"}
)
_OTHERS = frozenset(
    {"bart", "clip", "falcon_mamba", "jamba", "jetmoe", "mamba", "mamba2", "marian", "mbart", "mt5", "pegasus",
     "recurrent_gemma", "rwkv", "t5", "whisper", "zamba"}
)  # fmt: skip


def from_config(config: Mapping[str, Any]) -> Decoder:
    """Shape of a Hugging Face `config.json` of a decoder: Llama, Qwen, Mistral, Mixtral, Gemma, OPT, GPT-2 and alike.

    Raises:
        ConfigurationError: if a needed entry is missing or no positive number, or the model is no such decoder.
    """
    family = str(config.get("model_type", ""))
    if family in _OTHERS or config.get("is_encoder_decoder"):
        raise ConfigurationError(
            f"expected the configuration of a decoder of attention and feed-forward layers, got model_type {family!r}"
        )

    def entry(*names: str, default: Any = None) -> Any:
        for name in names:
            value = config.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                    raise ConfigurationError(f"{name} of a configuration is a positive integer, got {value!r}")
                return value
        if default is None:
            raise ConfigurationError(
                f"a decoder's configuration needs {' or '.join(names)}; got the entries {', '.join(sorted(config))}"
            )
        return default

    hidden, heads = entry("hidden_size", "n_embd"), entry("num_attention_heads", "n_head")
    window = int(config.get("sliding_window") or 0) if config.get("use_sliding_window", True) else 0
    return Decoder(
        hidden=hidden,
        layers=entry("num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=entry("num_key_value_heads", default=heads),
        head_dim=entry("head_dim", default=hidden // heads),
        ffn=entry("intermediate_size", "ffn_dim", "n_inner", default=4 * hidden),
        gates=1 if family in _PLAIN else 2,
        vocab=entry("vocab_size"),
        experts=entry("num_local_experts", "num_experts", default=1),
        active_experts=entry("num_experts_per_tok", default=1),
        window=window,
        windowed_share=0.0 if not window else (0.5 if family == "gemma2" else 1.0),
        tied=bool(config.get("tie_word_embeddings", family in _TIED)),
    )


def field_names() -> tuple[str, ...]:
    """Names of the shape's fields, in order."""
    return tuple(f.name for f in fields(Decoder))
