"""Two-party computation: rounds and bytes of each operator under a protocol, seconds under a network.

A private inference is a row of operators, each with local work, messages and round trips: t = work + bytes / bandwidth
+ rounds x round-trip time. Additive secret sharing makes additions free; a product takes a Beaver triple (both operands
opened in one round); a comparison costs about log2(bits) rounds of bit products (CrypTen, Knott et al., 2021, section 4
and appendix). Derived functions are counted from these: exponentials by repeated squaring, reciprocals by Newton steps,
maxima as a tree of comparisons. `Protocol` holds the counts, so a measured profile replaces them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archwright.costs.arrays import Array


class Network(NamedTuple):
    """Link between the parties."""

    b_per_s: Array
    round_trip_s: Array


class Protocol(NamedTuple):
    """Counts of a protocol over a ring of `bits` bits; bytes are both directions together.

    squarings: of (1 + x / 2^k)^(2^k). newton: steps of a reciprocal, two products each. work_macs_per_s: local rate.
    """

    bits: float = 64.0
    squarings: float = 8.0
    newton: float = 10.0
    work_macs_per_s: float = 2e9

    @property
    def word_b(self) -> float:
        """Bytes of a ring element."""
        return self.bits / 8

    @property
    def compare_rounds(self) -> float:
        """Rounds of one batch of comparisons: a prefix circuit over the bits, and a conversion back."""
        return float(np.log2(self.bits)) + 2

    @property
    def compare_words(self) -> float:
        """Ring elements sent per comparison: two operands of two bit-product words per level and party."""
        return 4 * float(np.log2(self.bits)) + 4


class Op(NamedTuple):
    """Messages of one operator."""

    rounds: Array
    sent_b: Array
    macs: Array = 0.0

    def __add__(self, other: object) -> Op:
        """Both, one after the other."""
        if not isinstance(other, Op):
            return NotImplemented
        return Op(self.rounds + other.rounds, self.sent_b + other.sent_b, self.macs + other.macs)

    def seconds(self, protocol: Protocol, network: Network) -> Array:
        """Time: local work, bytes over bandwidth, round trips."""
        work = self.macs / protocol.work_macs_per_s
        return work + self.sent_b / network.b_per_s + self.rounds * network.round_trip_s


def product(protocol: Protocol, left: Array, right: Array, macs: Array) -> Op:
    """Shared times shared: both parties open both operands of `left` and `right` elements."""
    return Op(1.0, 2 * (left + right) * protocol.word_b, macs)


def linear(protocol: Protocol, rows: Array, inner: Array, out: Array) -> Op:
    """Shared activations times the server's weights, which are shared as well."""
    return product(protocol, rows * inner, inner * out, rows * inner * out)


def elementwise(protocol: Protocol, elements: Array) -> Op:
    """One product per element."""
    return product(protocol, elements, elements, elements)


def compare(protocol: Protocol, elements: Array) -> Op:
    """Sign of each element: is it above zero?"""
    return Op(protocol.compare_rounds, elements * protocol.compare_words * protocol.word_b)


def relu(protocol: Protocol, elements: Array) -> Op:
    """A comparison and a product."""
    return compare(protocol, elements) + elementwise(protocol, elements)


def maximum_of(protocol: Protocol, rows: Array, length: Array) -> Op:
    """Largest of each row: a tree of comparisons and selections."""
    levels = np.ceil(np.log2(np.maximum(length, 2.0)))
    pairs = rows * (length - 1)
    each = relu(protocol, 1.0)
    return Op(levels * each.rounds, pairs * each.sent_b)


def exponential(protocol: Protocol, elements: Array) -> Op:
    """(1 + x / 2^k)^(2^k)."""
    square = elementwise(protocol, elements)
    return Op(protocol.squarings * square.rounds, protocol.squarings * square.sent_b, protocol.squarings * square.macs)


def reciprocal(protocol: Protocol, elements: Array) -> Op:
    """Newton steps of two products, from an exponential's first guess."""
    steps = 2 * protocol.newton
    one = elementwise(protocol, elements)
    return exponential(protocol, elements) + Op(steps * one.rounds, steps * one.sent_b, steps * one.macs)


def gelu(protocol: Protocol, elements: Array) -> Op:
    """A polynomial of degree four between two comparisons."""
    return compare(protocol, 2 * elements) + Op(4.0, 4 * elementwise(protocol, elements).sent_b, 4 * elements)


ATTENTIONS = ("softmax", "relu_softmax", "scaling")


def normaliser(protocol: Protocol, kind: str, rows: Array, length: Array) -> Op:
    """What stands between the two products of attention, for `rows` rows of `length` scores.

    softmax: maximum, exponential, reciprocal of the sum, product. relu_softmax: relu(x) / (sum + 1e-5). scaling:
    division by the public length, which is local (MPCViT, Zeng et al., 2023, section 3).

    Raises:
        ConfigurationError: if the kind is not known.
    """
    from archwright.errors import ConfigurationError, nearest

    scores = rows * length
    if kind == "softmax":
        return (
            maximum_of(protocol, rows, length) + exponential(protocol, scores) + reciprocal(protocol, rows)
            + elementwise(protocol, scores)
        )  # fmt: skip
    if kind == "relu_softmax":
        return relu(protocol, scores) + reciprocal(protocol, rows) + elementwise(protocol, scores)
    if kind == "scaling":
        return Op(0.0, 0.0 * scores)
    raise ConfigurationError(f"attention is one of {', '.join(ATTENTIONS)}; got {kind!r}; {nearest(kind, ATTENTIONS)}")


def vit_block(
    protocol: Protocol, tokens: Array, width: Array, heads: Array, hidden: Array, *, kind: str, activation: str = "gelu"
) -> Op:
    """One transformer encoder block; heads work in the same rounds."""
    attention = (
        linear(protocol, tokens, width, 3 * width)
        + product(protocol, tokens * width, tokens * width, tokens * tokens * width)
        + normaliser(protocol, kind, heads * tokens, tokens)
        + product(protocol, heads * tokens * tokens, tokens * width, tokens * tokens * width)
        + linear(protocol, tokens, width, width)
    )
    between = {"gelu": gelu, "relu": relu}[activation](protocol, tokens * hidden) if activation else Op(0.0, 0.0)
    return attention + linear(protocol, tokens, width, hidden) + between + linear(protocol, tokens, hidden, width)
