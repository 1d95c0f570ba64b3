"""The task made of Python's own documentation, and networks from templates that learn it."""

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.errors import ConfigurationError, SpaceError
from archwright.nets import Supernet, build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.registry import get
from archwright.tasks.python_topics import CHAPTERS, FIRST, NOTHING

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def topics():
    return tasks.load("python_topics")


def test_passages_are_ids_of_real_words_in_eight_chapters(topics):
    assert topics.input_shape == (32,) and topics.outputs == 8 and topics.classes == tuple(sorted(CHAPTERS))
    x = torch.cat([topics.train.x, topics.valid.x, topics.test.x])
    assert len(x) > 1500 and x.min() >= NOTHING and x.max() < 2000 and bool((x == x.round()).all())
    counts = np.bincount(x.flatten().long().numpy(), minlength=2000)
    assert (np.diff(counts[FIRST:]) <= 0).all()  # more frequent words have smaller ids
    assert (counts[FIRST:] > 0).all()


def test_parts_follow_the_seed_and_share_no_passage(topics):
    again, other = tasks.load("python_topics"), tasks.load("python_topics", seed=1)
    assert torch.equal(topics.train.x, again.train.x) and not torch.equal(topics.train.x[:100], other.train.x[:100])
    sizes = [len(s) for s in (topics.train, topics.valid, topics.test)]
    assert sizes[0] > 3 * sizes[1] and sizes[2] > sizes[1]


def test_a_network_from_a_template_reads_more_than_the_commonest_class(topics):
    space = get("spaces", "text_templates")(topics.input_shape, topics.outputs)
    chosen = {"width": 32, "position": "none", "depth": 1, "parts.1|1.parts.1#0.kernel": 3, "pool": "token_avg"}
    codes = {d.label: d.options.index(chosen[d.label]) for d in space.decisions if d.label in chosen}
    code = np.array([[codes.get(d.label, 1 if d.label == "encoder" else 0) for d in space.decisions]])
    net = build(space.nearest(code)[0], topics.input_shape, seed=0)
    train(net, topics, Recipe(epochs=5), seed=0)
    commonest = 100 * float(torch.bincount(topics.test.y).max()) / len(topics.test)
    assert evaluate(net, topics, "test")["accuracy_percent"] > commonest + 30


def test_every_template_is_cut_from_one_supernet(topics):
    space = get("spaces", "text_templates")(topics.input_shape, topics.outputs)
    assert space.size() == 456
    net = Supernet(space, topics.input_shape).eval()
    for a in space.sample(8, np.random.default_rng(0)):
        with torch.no_grad():
            assert torch.equal(net(topics.test.x[:3], a), net.extract(a)(topics.test.x[:3]))


def test_what_is_no_text_is_refused():
    with pytest.raises(ConfigurationError, match="vocabulary"):
        tasks.load("python_topics", vocabulary=2)
    with pytest.raises(SpaceError, match="token ids"):
        get("spaces", "text_templates")((3, 8, 8), 10)
