"""Super-resolution: pairs, parts, the metric by hand and on published test images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from archwright.data import data_file
from archwright.errors import ArchwrightError, ConfigurationError, EvaluationError
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.operators.conv import Conv
from archwright.operators.pixel_shuffle import PixelShuffle
from archwright.operators.sequential import Sequential
from archwright.tasks import load
from archwright.tasks.arrays import read_npz
from archwright.tasks.images import undelta
from archwright.tasks.super_resolution import WholeImages, luma, psnr, read_images, resized


def scenes(count=8, size=48, seed=0):
    """Smooth images with edges, (count, size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0.0, 6.0, size)
    waves = [np.sin(rng.uniform(0.5, 3) * axis[:, None] + rng.uniform(0.5, 3) * axis) for _ in range(3 * count)]
    return (127.5 + 127.5 * np.stack(waves)).astype(np.uint8).reshape(count, 3, size, size).transpose(0, 2, 3, 1)


def external(name):
    try:
        return read_npz(data_file(f"train/{name}"))
    except ArchwrightError as error:
        pytest.skip(str(error))


def test_psnr_by_hand():
    x, y = torch.full((2, 1, 8, 8), 100.0), torch.full((2, 1, 8, 8), 100.0)
    y[0] += 2.0
    assert psnr(x, y).tolist() == pytest.approx([10 * np.log10(255**2 / 4), 100.0])
    y[1, 0, 0, 3] = 0.0  # at the border, which is left out
    assert float(psnr(x, y, border=1)[1]) == 100.0 > float(psnr(x, y)[1])


def test_luma_of_black_white_and_red():
    colours = torch.tensor([[0.0, 0, 0], [255.0, 255, 255], [255.0, 0, 0]]).reshape(3, 3, 1, 1)
    assert luma(colours).flatten().tolist() == pytest.approx([16.0, 235.0, 81.481], abs=1e-3)


def test_reduction_is_pillows_bicubic():
    image = scenes(1)[0]
    want = np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
    found = 255.0 * resized(torch.from_numpy(image).permute(2, 0, 1)[None] / 255.0, 0.5)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - want).max() <= 1.01


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_photographs_of_scikit_learn_are_divided_by_region():
    task = load("super_resolution")
    assert task.input_shape == (3, 24, 24) and task.output_shape == (3, 48, 48) and task.metric == "psnr_db"
    assert (len(task.train), len(task.valid), len(task.test)) == (128, 32, 32)
    x, y = next(task.train.batches(4))
    assert x.shape == (4, 3, 24, 24) and y.shape == (4, 3, 48, 48) and 0.0 <= float(x.min()) < float(x.max()) <= 1.0
    assert 30.0 < task.baselines()["bicubic enlargement"]["psnr_db"] < 60.0
    assert json.loads(json.dumps(task.describe()))["baselines"] == task.baselines()


def test_regions_share_no_pixel():
    columns = np.broadcast_to(np.arange(240, dtype=np.uint8)[:, None], (64, 240, 3))
    task = load("super_resolution", high=[columns], patch=8)
    seen = [set(np.unique(split.y)) for split in (task.train, task.valid, task.test)]
    assert all(seen) and not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert max(seen[0]) < min(seen[1]) and max(seen[1]) < min(seen[2])


def test_patches_lie_on_each_other():
    task = load("super_resolution", high=scenes(), patch=8)
    again = 255.0 * resized(task.train.y / 255.0, 0.5)
    assert float((again - task.train.x)[:, :, 2:-2, 2:-2].abs().max()) <= 1.01


def test_scenes_stay_in_one_part():
    images = np.stack([np.full((16, 16, 3), 10 * (i // 2), np.uint8) for i in range(20)])
    task = load("super_resolution", high=images, groups=np.arange(20) // 2, patch=8)
    seen = [set(np.unique(split.y)) for split in (task.train, task.valid, task.test)]
    assert [len(s) for s in seen] == [6, 2, 2] and len(set.union(*seen)) == 10


def test_folders_archives_and_arrays_give_the_same_task(tmp_path):
    high = scenes()
    low = np.stack([np.asarray(Image.fromarray(v).resize((24, 24), Image.Resampling.BICUBIC)) for v in high])
    for name, images in (("high", high), ("low", low)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
        np.savez(tmp_path / f"{name}.npz", images)
    given = load("super_resolution", high=high, low=low, patch=12)
    folders = load("super_resolution", high=tmp_path / "high", low=tmp_path / "low", patch=12)
    archives = load("super_resolution", high=tmp_path / "high.npz", low=str(tmp_path / "low.npz"), patch=12)
    floats = load("super_resolution", high=high / 255.0, low=low / 255.0, patch=12)
    for other in (folders, archives, floats):
        assert torch.equal(given.train.x, other.train.x) and torch.equal(given.test.y, other.test.y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1}, "scale >= 2"),
        ({"valid_share": 0.7, "test_share": 0.4}, "below 1"),
        ({"patch": 40}, "set patch to 24 or less"),
        ({"high": scenes().astype(np.int64)}, "uint8 or floats"),
        ({"high": scenes() * 1.0}, "outside \\[0, 1\\]"),
        ({"high": []}, "no images"),
        ({"low": scenes(size=20)}, "not 2 times smaller"),
        ({"low": scenes(3, 24)}, "as many images"),
        ({"groups": [0, 1]}, "one number an image"),
        ({"high": "nowhere"}, "no file nowhere"),
    ],
)
def test_faults_are_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        load("super_resolution", **{"high": scenes(), "patch": 8, **options})


def test_a_broken_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ConfigurationError, match=r"a\.png cannot be read"):
        read_images(tmp_path)


def test_outputs_of_another_kind_are_refused():
    task = load("super_resolution", high=scenes(), patch=8)
    with pytest.raises(EvaluationError, match="needs outputs of shape"):
        task.check(torch.zeros(2, 3))
    with pytest.raises(EvaluationError, match="enlarges images 2 times"):
        task.loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_a_network_is_trained_and_measured_on_whole_images():
    high = scenes(12)
    task = load("super_resolution", high=high, patch=12)
    net = build(Sequential((Conv(8), Conv(12, norm="none", activation="identity"), PixelShuffle(2))), task.input_shape)
    before = evaluate(net, task, "test")
    train(net, task, Recipe("adamw", 5e-3, epochs=15, batch=16), seed=0)
    after = evaluate(net, task, "test")
    assert after["psnr_db"] > before["psnr_db"] + 5.0
    whole = WholeImages([high[0], high[1][:, :40]])
    assert evaluate(net, task, whole)["psnr_rgb_db"] > before["psnr_rgb_db"] and len(whole) == 2


@pytest.mark.data
def test_bicubic_on_real_patches_and_on_set5_has_the_known_figures():
    found = external("sr_bsd100_patches_x2.npz")
    high, low = undelta(found["hr_delta"]), undelta(found["lr_delta"])
    error = 255.0 * resized(torch.from_numpy(low) / 255.0, 2) - torch.from_numpy(high)
    assert 10 * np.log10(255**2 / float(error.square().mean())) == pytest.approx(26.38, abs=0.01)
    five = external("sr_set5_x2.npz")
    rgb, shaved = [], []
    for name in sorted({k.rsplit("_", 1)[0] for k in five}):
        true = torch.from_numpy(five[f"{name}_hr"]).permute(2, 0, 1)[None].float()
        up = 255.0 * resized(torch.from_numpy(five[f"{name}_lr"]).permute(2, 0, 1)[None] / 255.0, 2)
        rgb.append(float(psnr(up, true)))
        shaved.append(float(psnr(luma(up), luma(true), border=2)))
    assert rgb == pytest.approx([35.62, 34.88, 26.12, 31.51, 30.82], abs=0.02)
    assert np.mean(shaved) == pytest.approx(33.66, abs=0.05)  # the published mean of bicubic on Set5 at scale 2


@pytest.mark.data
def test_real_patches_are_a_task_divided_by_image():
    external("sr_bsd100_patches_x2.npz")
    task = load("bsd100_patches", patch=20)
    assert (len(task.train), len(task.valid), len(task.test)) == (780, 180, 240)
    assert task.baselines("valid")["bicubic enlargement"] == task.bicubic(task.valid)
