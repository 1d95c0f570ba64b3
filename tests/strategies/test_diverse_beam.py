"""Diverse beam search over fifty random first-order models of token strings: spread against the best score."""

import itertools

import numpy as np
import pytest

from archwright.strategies.diverse_beam import diverse_beam

LENGTH, OPTIONS, BEAMS, GROUPS, CASES = 6, 5, 8, 4, 50


def markov(seed):
    """Log-probabilities of the next token given the last one."""
    rng = np.random.default_rng(seed)
    first, following = rng.normal(size=OPTIONS), rng.normal(size=(LENGTH, OPTIONS, OPTIONS))

    def scores(prefixes):
        place = prefixes.shape[1]
        logits = following[place][prefixes[:, -1]] if place else np.repeat(first[None], len(prefixes), axis=0)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    return scores


def spread(sequences):
    """Mean share of places in which two of the sequences differ."""
    return np.mean([(a != b).mean() for i, a in enumerate(sequences) for b in sequences[:i]])


def test_the_mean_pairwise_distance_rises_with_the_penalty():
    means = [
        np.mean([spread(diverse_beam(markov(s), LENGTH, BEAMS, GROUPS, penalty)[0]) for s in range(CASES)])
        for penalty in (0.0, 0.2, 0.5, 0.8)
    ]
    assert all(b > a for a, b in itertools.pairwise(means))


@pytest.mark.parametrize("penalty", [0.2, 0.5, 0.8])
def test_the_best_score_is_not_worse_than_that_of_beam_search_in_four_of_five_cases(penalty):
    kept = 0
    for seed in range(CASES):
        diverse = diverse_beam(markov(seed), LENGTH, BEAMS, GROUPS, penalty)[1].max()
        kept += diverse >= diverse_beam(markov(seed), LENGTH, BEAMS)[1].max() - 1e-12
    assert kept >= 0.8 * CASES


def beam_search(scores):
    """Beam search as it is usually written: all continuations of all beams, the best B are kept."""
    beams = [((), 0.0)]
    for _ in range(LENGTH):
        grown = []
        for tokens, total in beams:
            following = scores(np.array([tokens], np.int64).reshape(1, len(tokens)))[0]
            grown += [((*tokens, t), total + following[t]) for t in range(OPTIONS)]
        beams = sorted(grown, key=lambda b: -b[1])[:BEAMS]
    return beams


@pytest.mark.parametrize("seed", range(10))
def test_one_group_without_penalty_is_beam_search(seed):
    sequences, totals = diverse_beam(markov(seed), LENGTH, BEAMS, 1, 0.0)
    expected = beam_search(markov(seed))
    assert [tuple(s) for s in sequences.tolist()] == [tokens for tokens, _ in expected]
    assert np.allclose(totals, [total for _, total in expected], rtol=0, atol=1e-12)
