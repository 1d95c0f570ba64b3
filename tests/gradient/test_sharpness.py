"""Sharpness of a search, and stopping before it grows."""

import numpy as np
import pytest
import torch

from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch, sharpness
from archwright.gradient.measure import batch_statistics
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax


@pytest.mark.parametrize("name", ["darts", "pc-darts"])
def test_the_eigenvalue_is_that_of_finite_differences(name, convs, cells, task):
    """Of the mixture's loss in the architecture parameters, in float64."""
    search = GradientSearch(convs if name == "darts" else cells, task, recipe(name, epochs=1, batch=16), seed=1)
    search.core.double()
    (x, y), *_ = search.data.some(0, 1)
    search.data.some = lambda *_: iter([(x.double(), y)])
    found = sharpness.sharpness(search, images=len(y), steps=40)
    parameters = search.core.architecture_parameters()

    def gradient():
        core = search.core
        chances = {p: v.softmax(0) for p, v in core.alpha().items()}
        given = sharpness.Weights({**chances, **core.method.extra_weights(core.edge_parameters())})
        loss = search.task.loss(core.outputs(x.double(), given), y)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    rows, step = [], 1e-5
    with batch_statistics(search.core.supernet):
        for p in parameters:
            for i in range(p.numel()):
                sides = []
                for sign in (1, -1):
                    with torch.no_grad():
                        p.view(-1)[i] += sign * step
                    sides.append(gradient())
                    with torch.no_grad():
                        p.view(-1)[i] -= sign * step
                rows.append((sides[0] - sides[1]) / (2 * step))
    dense = torch.stack(rows).numpy()
    assert found == pytest.approx(np.linalg.eigvalsh((dense + dense.T) / 2)[-1], rel=1e-3)


def test_a_search_ends_once_its_eigenvalue_has_grown(convs, task, monkeypatch):
    search = GradientSearch(convs, task, recipe("darts", epochs=8, batch=16, selection=Argmax()), seed=1)
    values = iter([1.0, 1.2, 1.1, 1.0, 1.1, 2.0, 9.0, 9.0])
    monkeypatch.setattr(sharpness, "sharpness", lambda *_, **__: next(values))
    stop = sharpness.SharpnessStop(search, window=2)
    search.run(on_epoch=stop, random=0)
    assert search.epoch == 6  # (1.1 + 1.0) / (1.1 + 2.0) is the first ratio below 0.75
    assert stop.code == tuple(search.history[3]["code"])
    with pytest.raises(ConfigurationError, match="window"):
        sharpness.SharpnessStop(search, window=0)
