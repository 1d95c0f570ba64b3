"""Decoders over tokens: published sizes, causality, outputs after the last or every token."""

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.nets import build
from archwright.nets.build import program_of
from archwright.spaces.hwgpt import VOCABULARY, hwgpt

SMALL = {"widths": (8, 12), "depths": (1, 2), "heads": (1, 2), "ratios": (1, 2), "head_dim": 4, "vocabulary": 20}


@pytest.mark.parametrize("bias", [False, True])
def test_the_size_is_the_published_formula(bias):
    space = hwgpt(scale="s")
    a = space.restrict({"bias": (bias,), "n_layer": (12,), "embed_dim": (768,)}).largest()
    steps = program_of(a, (64,)).steps
    d, heads, hidden = 768, 12 * 64, 4 * 768
    layer = 4 * d * heads + 3 * d * hidden + 4 * d + bias * (3 * heads + d + 2 * hidden + d)
    expected = 2 * VOCABULARY * d + 12 * layer + 2 * d
    assert sum(s.leaf.counts(*s.input_shapes).params for s in steps) == expected


def test_no_output_depends_on_a_later_token():
    space = hwgpt((6,), 20, every=True, **SMALL)
    net = build(space.largest(), (6,), seed=0).eval()
    ids = torch.randint(0, 20, (2, 6)).float()
    other = ids.clone()
    other[:, 4] = (other[:, 4] + 1) % 20
    with torch.no_grad():
        y, z = net(ids), net(other)
    assert y.shape == (2, 6, 20) and torch.equal(y[:, :4], z[:, :4]) and not torch.allclose(y[:, 4:], z[:, 4:])


def test_the_plain_outputs_are_those_after_the_last_token():
    last, every = (hwgpt((5,), 20, every=e, **SMALL) for e in (False, True))
    code = last.sample(1, np.random.default_rng(0)).codes
    nets = [build(s.architectures(code)[0], (5,), seed=0).eval() for s in (last, every)]
    ids = torch.randint(0, 20, (3, 5)).float()
    with torch.no_grad():
        assert torch.allclose(nets[0](ids), nets[1](ids)[:, -1], atol=1e-5)


def test_outputs_after_every_patch_are_refused():
    with pytest.raises(SpaceError, match="token ids"):
        hwgpt((3, 32, 32), 10, every=True)


def test_a_decoder_learns_to_continue_a_repeating_sequence():
    torch.manual_seed(0)
    net = build(hwgpt((8,), 12, every=True, **{**SMALL, "widths": (16, 32), "vocabulary": 12}).largest(), (8,), seed=0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    starts = torch.randint(0, 12, (64, 1))
    ids = (starts + 5 * torch.arange(9)) % 12  # synthetic: each id is the one before plus 5, modulo 12
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(net(ids[:, :-1].float()).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = net.eval()(ids[:, :-1].float()).argmax(2)
    assert (found == ids[:, 1:]).float().mean() > 0.95
