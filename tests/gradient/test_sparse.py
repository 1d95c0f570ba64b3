"""Masked weights (DASS): exact sparsity, gradients of scores, architectures compared under masks."""

import pytest
import torch
from torch import nn

from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.mixings.sparse import SparseWeights
from archwright.gradient.recipes import recipe
from archwright.nets.masks import MASKED
from archwright.nets.scores import Scores


def search_of(space, task, **changes):
    return GradientSearch(space, task, recipe("dass", epochs=3, batch=16, **changes), seed=2)


def zeros(net):
    return [(int((m.weight == 0).sum()), m.weight.numel()) for m in net.modules() if isinstance(m, MASKED)]


def test_the_found_network_has_the_sparsity_in_every_tensor(cells, task):
    search = search_of(cells, task, sparsity=0.8)
    result = search.run(random=0)
    counts = zeros(result.network())
    assert len(counts) > 3
    for empty, total in counts:
        assert total - empty == max(1, round(0.2 * total))
    dense = [p for p in search.core.supernet.parameters() if p.dim() > 1]
    assert all(bool((p != 0).any(dim=-1).all()) for p in dense)  # the weights themselves are kept whole


def test_phases_are_dense_then_scored_then_fixed(cells, task):
    search = search_of(cells, task)
    core, scores = search.core, search.core.companion
    assert isinstance(scores, Scores)
    x, y = next(search.data.some(0, 1))
    moved, tuned = [], []
    for progress in (0.0, 0.3, 0.9):
        core.progress = progress
        core.zero_grad()
        outputs = core.outputs(x, core.expected_weights())
        nn.functional.cross_entropy(outputs, y).backward()
        moved.append(any(s.grad is not None and bool(s.grad.any()) for s in scores.scores))
        tuned.append(any(core.supernet.get_parameter(n).grad is not None for n in scores.names))
        if progress == 0.0:
            dense = outputs
        else:
            assert not torch.equal(outputs, dense)
    assert moved == [False, True, False] and tuned == [True, False, True]
    assert search.method.warmup == 1 and recipe("dass").warmup == 20  # the architecture is learned in the last phase
    for name, score in zip(scores.names, scores.scores, strict=True):
        weight = core.supernet.get_parameter(name).detach().abs()
        torch.testing.assert_close(score.detach(), (6 / weight[0].numel()) ** 0.5 * weight / weight.max())


@pytest.mark.parametrize("name", ["dass", "supertickets"])
def test_a_stopped_search_keeps_scores_and_masks(name, cells, task, tmp_path):
    def make(folder=None):
        return GradientSearch(cells, task, recipe(name, epochs=3, batch=8), seed=2, folder=folder)

    whole = make()
    whole.run(random=0)
    make(tmp_path).run(epochs=2, random=0)
    second = make(tmp_path)
    second.run(random=0)
    for key, value in whole.core.state_dict().items():
        assert torch.equal(second.core.state_dict()[key], value), key


def test_masked_weights_stay_away_from_options_that_run_in_the_backward_pass():
    with pytest.raises(ConfigurationError, match="masks are gone"):
        recipe("proxylessnas", mixing=SparseWeights())
