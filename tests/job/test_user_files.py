"""Spaces in files of the user's: own modules, faulty options, starters, and what a resumed run makes of them."""

import json
import os
import subprocess
import sys

import pytest

from archwright.errors import ConfigurationError, SpaceError
from archwright.job.config import check
from archwright.job.exporting import export_run
from archwright.job.run import read_config, resume_job, run_job
from archwright.job.setup import prepare
from archwright.job.spaces import check_fit, load_space
from archwright.job.starters import STARTERS, write_starter
from archwright.operators import Classifier, Conv, Sequential, call
from archwright.space import Space, oneof

BLOCKS = """
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self, in_channels, width=8, flat=False):
        super().__init__()
        self.conv, self.flat = nn.Conv2d(in_channels, width, 3, padding=1), flat

    def forward(self, x):
        y = torch.sigmoid(self.conv(x)) * self.conv(x)
        return y[:, 0, 0] if self.flat else y            # no image: nothing that follows accepts it

class Boom(nn.Conv2d):
    def __init__(self, in_channels, scale=1.0):
        super().__init__(in_channels, in_channels, 1)
        self.scale = scale

    def forward(self, x):
        return super().forward(x) * self.scale * self.scale
"""
SPACE = """
from {blocks} import Gate
from archwright.operators import Call, Classifier, Conv, Sequential
from archwright.space import Space, oneof

def space(input_shape, outputs):
    gate = Call(Gate, {{"width": oneof(4, 8), "flat": oneof({flat})}})
    return Space(Sequential((Conv(oneof(4, 8)), gate, Conv(oneof(8, 16), stride=2), Classifier(outputs))))
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes a space and its module, with names that no other test uses."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(flat: str):
        blocks = f"blocks_{tmp_path.name}"
        (tmp_path / f"{blocks}.py").write_text(BLOCKS)
        path = tmp_path / f"space_{tmp_path.name}.py"
        path.write_text(SPACE.format(blocks=blocks, flat=flat))
        return path, blocks

    return write


def job(path, folder, **more):
    return check({"space": str(path), "out": str(folder), "budget": "8 trials", "epochs": 1, "finalists": 1, **more})


def test_a_space_imports_modules_beside_it(files):
    path, blocks = files("False")
    space = load_space(str(path), (1, 8, 8), 10)
    assert check_fit(space, (1, 8, 8), (10,)) == ""
    assert space.largest().tree.parts[1].target == f"{blocks}:Gate"


@pytest.mark.slow
def test_networks_that_cannot_be_built_are_failed_trials_and_the_run_goes_on(files, tmp_path):
    path, blocks = files("False, True")
    folder = tmp_path / "run"
    result = run_job(job(path, folder, subject_to="latency_ms<=50"), quiet=True)
    states = [t.state for t in result.result.trials]
    assert "failed" in states and "complete" in states and result.feasible
    failed = next(t for t in result.result.trials if t.state == "failed")
    assert "expects an input of shape" in failed.error
    again = resume_job(folder, quiet=True)
    assert [t.number for t in again.result.trials] == [t.number for t in result.result.trials]

    with pytest.raises(Exception, match="allow"):
        list(export_run(folder, onnx=tmp_path / "net.onnx"))
    assert "agrees" in next(iter(export_run(folder, onnx=tmp_path / "net.onnx", allow=[blocks])))
    show = [sys.executable, "-m", "archwright.cli", "show", str(folder)]
    plain = subprocess.run(show, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "--allow MODULE" in plain and "accuracy_percent" in plain
    allowed = subprocess.run([*show, "--allow", blocks], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert f"target={blocks}:Gate" in allowed.stdout and "MACs" in allowed.stdout


def test_a_loss_that_is_not_a_number_fails_its_trial_only(files, tmp_path):
    _, blocks = files("False")
    body = Sequential((Conv(4, stride=2), call(f"{blocks}:Boom", scale=oneof(1.0, 1e30)), Classifier(10)))
    sys.path.append(str(tmp_path))
    config = job("auto", tmp_path / "run", budget="2 trials", supernet_epochs=1, strategy="random")
    result = run_job(config, space=Space(body), quiet=True)
    assert sorted(t.state for t in result.result.trials) == ["complete", "failed"]
    assert "loss is" in next(t.error for t in result.result.trials if t.state == "failed")


def test_a_supernet_of_networks_that_cannot_be_built_is_refused(files, tmp_path):
    path, _ = files("False, True")
    with pytest.raises(SpaceError, match="can all be built"):
        prepare(job(path, tmp_path / "run", evaluation="supernet"))


def test_a_space_without_any_fitting_network_is_refused(files, tmp_path):
    path, _ = files("True")
    with pytest.raises(SpaceError, match="expects an input of shape"):
        prepare(job(path, tmp_path / "run"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "must define `space`"),
        ("space = 3", "gives a int"),
        ("def space(input_shape, outputs): return nothing", "NameError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("def space(depth): return None", "cannot give: depth"),
    ],
)
def test_a_faulty_file_is_one_line(text, words, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / f"faulty_{tmp_path.name}.py"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_space(str(path), (1, 8, 8), 10)
    assert "\n" not in str(caught.value)


def test_a_file_with_the_name_of_a_module_is_refused(tmp_path):
    path = tmp_path / "json.py"
    path.write_text("space = 1")
    with pytest.raises(ConfigurationError, match="rename the file"):
        load_space(str(path), (1, 8, 8), 10)


@pytest.mark.parametrize("kind", STARTERS)
def test_a_starter_is_a_space_whose_networks_can_be_built(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = write_starter(kind, tmp_path / f"starter_{tmp_path.name}.py")
    shape = (64,) if kind == "mlp" else (1, 8, 8)
    space = load_space(str(path), shape, 10)
    assert space.size() > 10 and check_fit(space, shape, (10,)) == ""


def test_paths_are_kept_in_full(files, tmp_path, monkeypatch):
    path, _ = files("False")
    monkeypatch.chdir(tmp_path)
    from archwright.job.run import _settled

    assert _settled(check({"space": path.name})).space == str(path)
    assert _settled(check({"data": "digits"})).data == "digits"


def test_the_smallest_network_need_not_have_the_first_options(tmp_path):
    backwards = Space(Sequential((*(Conv(oneof(64, 32, 16, 8, 4, 2)) for _ in range(8)), Classifier(10))))
    config = check({"subject_to": "params_m<=0.0004"})  # all 2 wide: 0.00033
    assert prepare(config, space=backwards).space is backwards
    with pytest.raises(ConfigurationError, match="the smallest has"):
        prepare(check({"subject_to": "params_m<=0.0003"}), space=backwards)


@pytest.mark.slow
def test_a_resumed_run_searches_on_only_with_a_new_budget(tmp_path):
    folder = tmp_path / "run"
    first = run_job(check({"out": str(folder), "budget": "8s", "finalists": 1}), quiet=True)
    count = len(first.result.trials)
    assert len(resume_job(folder, quiet=True).result.trials) == count
    chosen = json.loads((folder / "best" / "metrics.json").read_text())
    assert chosen["architecture_digest"] == first.architecture.digest
    more = resume_job(folder, budget=f"{count + 7} trials", quiet=True)
    assert len(more.result.trials) == count + 7 and read_config(folder).budget == f"{count + 7} trials"


@pytest.mark.slow
def test_a_full_disk_ends_with_one_line_and_the_run_goes_on_later(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "archwright.cli"]
    given = [
        "--budget",
        "10 trials",
        "--supernet-epochs",
        "1",
        "--epochs",
        "1",
        "--finalists",
        "1",
        "--out",
        str(folder),
    ]
    limited = ["bash", "-c", 'ulimit -f 60; exec "$@"', "-", *command, "search", *given]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    full = subprocess.run(limited, capture_output=True, text=True, check=False, env=env)
    assert full.returncode == 2 and len(full.stderr.strip().splitlines()) == 1, full.stderr[-2000:]
    done = subprocess.run([*command, "resume", str(folder)], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0 and (folder / "report.html").exists(), done.stderr[-2000:]
