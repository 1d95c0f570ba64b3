"""BERT-like encoders: what they are made of, that they learn from tokens, and that refusals say why."""

import pytest
import torch
from scipy.fft import dct, fft2

from archwright import tasks
from archwright.errors import ConfigurationError, SpaceError
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.operators.span_attention import SpanAttention
from archwright.operators.spectral_mixing import SpectralMixing
from archwright.operators.token_embedding import TokenEmbedding
from archwright.operators.weighted_attention import WeightedAttention
from archwright.spaces.flexibert import OPERATORS, flexibert


def test_the_space_has_every_encoder_of_two_or_four_layers():
    assert flexibert().size() == 2 * (48**2 + 48**4)
    assert set(flexibert().decision("parts.3#0.operator").options) == set(OPERATORS)


@pytest.mark.slow
def test_an_encoder_learns_which_token_is_marked():
    task = tasks.load("synthetic_tokens")
    sizes = {"widths": (16, 32), "feed_forward": (32, 64), "embedding": 16, "vocabulary": 18}
    chosen = {"hidden": 32, "depth": 2}
    for i in range(2):
        layer = {"operator": "DSC/5", "heads": 2, "ffn.hidden": 64, "ffn.stacks": 1}
        chosen |= {f"parts.3#{i}.{name}": value for name, value in layer.items()}
    net = build(flexibert(task.input_shape, task.outputs, **sizes).architecture(chosen), task.input_shape, seed=0)
    before = evaluate(net, task, "test")["accuracy_percent"]
    train(net, task, Recipe(epochs=6, lr=3e-3), seed=0)
    assert before < 40.0 and evaluate(net, task, "test")["accuracy_percent"] > 90.0


def test_synthetic_tokens_are_ids_whose_marked_one_gives_the_class():
    task = tasks.load("synthetic_tokens", rows=300, vocabulary=14, classes=3, seed=5)
    assert task.input_shape == (16,) and task.outputs == 3 and task.preprocessing["synthetic"]
    x, y = task.train.x, task.train.y
    assert torch.equal(x, x.round()) and x[:, 0].eq(0).all() and x.eq(1).sum(1).eq(1).all() and int(x.max()) == 13
    place = x.eq(1).float().argmax(1) + 1
    assert torch.equal((x[torch.arange(len(x)), place].long() - 2) % 3, y)
    with pytest.raises(ConfigurationError, match="divides vocabulary"):
        tasks.load("synthetic_tokens", vocabulary=17)


@pytest.mark.parametrize("heads", [1, 2])
def test_spectral_mixing_is_the_transform_of_scipy(heads):
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    for name in ("dft", "dct"):
        module = SpectralMixing(heads, name).module((6, 8)).double().eval()
        y = module.project(x).unflatten(2, (heads, -1)).transpose(1, 2).detach().numpy()
        want = fft2(y).real if name == "dft" else dct(dct(y, axis=-1), axis=-2)
        assert torch.allclose(module(x), torch.from_numpy(want).transpose(1, 2).flatten(2), atol=1e-9)


def test_weighted_attention_scores_queries_through_one_more_matrix():
    module = WeightedAttention(2).module((5, 8)).double().eval()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    q, k, v = (m(x).reshape(3, 5, 2, 4).transpose(1, 2) for m in (torch.nn.Sequential(module.query, module.between),
                                                                   module.key, module.value))  # fmt: skip
    y = (q @ k.transpose(2, 3) / 2.0).softmax(3) @ v
    assert torch.allclose(module(x), module.out(y.transpose(1, 2).reshape(3, 5, 8)), atol=1e-12)


def test_span_heads_are_sums_over_near_tokens_with_weights_from_the_token():
    module = SpanAttention(2, 3).module((4, 8)).double().eval()
    x = torch.randn(1, 4, 8, dtype=torch.float64)
    local = module.pointwise(module.depthwise(x.mT).mT)
    weights = module.kernels(local * module.query(x)).softmax(2)[0]  # (tokens, taps), one head
    spans = module.span(x)[0]
    for t in range(4):
        near = sum(weights[t, i] * spans[t + i - 1] for i in range(3) if 0 <= t + i - 1 < 4)
        attended = (module.query(x)[0, t] @ module.key(x)[0].T / 2.0).softmax(0) @ module.value(x)[0]
        assert torch.allclose(module(x)[0, t], module.out(torch.cat([attended, near])), atol=1e-12)


def test_embeddings_read_ids_and_add_positions():
    module = TokenEmbedding(4, 7).module((3,))
    ids = torch.tensor([[0.0, 6.0, 2.0]])
    assert torch.equal(module(ids)[0], module.word[[0, 6, 2]] + module.position)
    assert torch.equal(module(torch.tensor([[-3.0, 99.0, 2.0]])), module(torch.tensor([[0.0, 6.0, 2.0]])))
    waves = TokenEmbedding(4, 7, "waves").module((3,))
    first = waves(ids)[0] - waves.word[[0, 6, 2]]
    assert torch.allclose(first[:, 0], torch.arange(3.0).sin()) and torch.allclose(first[:, 1], torch.arange(3.0).cos())
    assert torch.allclose(first[:, 2], (torch.arange(3.0) * 10000 ** (-2 / 64)).sin())


def test_what_does_not_fit_is_refused():
    with pytest.raises(SpaceError, match="token ids"):
        flexibert((3, 32, 32), 10)
    with pytest.raises(SpaceError, match="at least the 9 tokens"):
        TokenEmbedding(4, 7, positions=8).output((9,))
    with pytest.raises(SpaceError, match="even"):
        SpanAttention(1).output((4, 8))
