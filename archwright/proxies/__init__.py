"""Training-free scores of untrained networks: one file a proxy, larger is better unless its file says otherwise.

A proxy is a function of a `Probe` (network, batch, shared passes) registered under the kind `proxies`; `score` computes
several at once. NaN means that the proxy cannot say, such as an attention score of a network without attention.
"""

from archwright.proxies.score import score

__all__ = ["score"]
