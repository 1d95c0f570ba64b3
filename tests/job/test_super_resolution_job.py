"""The main job on images to images: nothing in it assumes classes."""

import json

import numpy as np
import pytest
import torch

import archwright
from archwright.errors import SpaceError
from archwright.nets.build import build
from archwright.space import Architecture
from archwright.spaces.convnet import convnet
from archwright.spaces.quantnas import quantnas
from archwright.tasks import load


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    axis = np.linspace(0.0, 9.0, 48)
    waves = [np.sin(rng.uniform(0.5, 3) * axis[:, None] + rng.uniform(0.5, 3) * axis) for _ in range(24)]
    return load("super_resolution", high=(0.5 + 0.5 * np.stack(waves)).reshape(8, 3, 48, 48), patch=8)


def space_of(scale=2):
    few = {"head": ("simple_3x3",), "upsample": ("simple_3x3",), "tail": ("simple_1x1", "simple_3x3")}
    body = ("simple_1x1", "growth1_3x3")
    return quantnas((3, 8, 8), 3, scale=scale, channels=8, cells=1, depth=2, body=body, **few)


@pytest.mark.parametrize("space", [space_of(scale=3), convnet((3, 8, 8), 3)], ids=["scale", "classifier"])
def test_a_space_that_gives_something_else_is_refused_before_work(pictures, space, tmp_path):
    with pytest.raises(SpaceError, match=r"needs outputs of shape \(3, 16, 16\)"):
        archwright.search(space, pictures, maximize="psnr_db", budget="2 trials", out=str(tmp_path / "run"), quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"strategy": "quantnas"}, {"options": {"evaluation": "train"}}, {}],
    ids=["gradient", "alone", "shared"],
)
def test_a_run_hands_over_a_network_that_enlarges_images(pictures, settings, tmp_path):
    options = {"supernet_epochs": 2, "epochs": 2, "finalists": 1, **settings.pop("options", {})}
    result = archwright.search(
        space_of(), pictures, maximize="psnr_db", minimize="macs_m", budget="4 trials", options=options,
        out=str(tmp_path / "run"), quiet=True, **settings,
    )  # fmt: skip
    best = tmp_path / "run" / "best"
    assert (
        result.feasible
        and result.metrics["psnr_db"] == json.loads((best / "metrics.json").read_text())["measured"]["psnr_db"]
    )
    found = Architecture.from_json((best / "architecture.json").read_text(), space_of())
    assert build(found, (3, 8, 8))(torch.zeros(2, 3, 8, 8)).shape == (2, 3, 16, 16)
    assert (best / "model.onnx").stat().st_size > 0
