"""Time of ring collectives over one kind of link: a start-up, a latency per step, and bytes over bandwidth.

The alpha-beta form of the ring algorithms (Thakur, Rabenseifner and Gropp, 2005, sections 4.1 and 4.5), with the fixed
start-up of 5 us that GenZ adds (Bambhaniya et al., 2024). Message sizes are bytes per device; one device costs nothing.
"""

from __future__ import annotations

from archwright.costs.arrays import Array, where

START_S = 5e-6


def _ring(steps: Array, piece_bytes: Array, devices: Array, link_b_per_s: Array, link_latency_s: Array) -> Array:
    time = START_S + steps * link_latency_s + steps * piece_bytes / link_b_per_s
    return where((devices > 1) & (piece_bytes > 0), time, 0.0 * time)


def all_reduce_s(message_b: Array, devices: Array, link_b_per_s: Array, link_latency_s: Array) -> Array:
    """Reduce-scatter then all-gather: 2 (n - 1) steps of one n-th of the message."""
    return _ring(2 * (devices - 1), message_b / devices, devices, link_b_per_s, link_latency_s)


def all_gather_s(message_b: Array, devices: Array, link_b_per_s: Array, link_latency_s: Array) -> Array:
    """N - 1 steps of one n-th of the gathered message."""
    return _ring(devices - 1, message_b / devices, devices, link_b_per_s, link_latency_s)


def all_to_all_s(message_b: Array, devices: Array, link_b_per_s: Array, link_latency_s: Array) -> Array:
    """N - 1 pairwise exchanges of one n-th of each device's message."""
    return _ring(devices - 1, message_b / devices, devices, link_b_per_s, link_latency_s)


def send_s(message_b: Array, link_b_per_s: Array, link_latency_s: Array) -> Array:
    """One message from a pipeline stage to the next."""
    return where(message_b > 0, link_latency_s + message_b / link_b_per_s, 0.0 * message_b)
