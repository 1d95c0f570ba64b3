"""The main job on digits, small; kept short by few trials and epochs, not by faking."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import archwright
from archwright.errors import ConfigurationError, RunLogError
from archwright.job.config import check
from archwright.job.run import resume_job, run_job
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof, repeat

SPACE = """
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof, repeat

def space(input_shape, outputs):
    block = MBConv(oneof(8, 12, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3))
    return Space(Sequential((
        Conv(oneof(4, 8), stride=2), block, repeat(block, times=oneof(0, 1)), Classifier(outputs))))
"""


def small_space() -> Space:
    block = MBConv(oneof(8, 12, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3))
    return Space(Sequential((Conv(oneof(4, 8), stride=2), block, repeat(block, times=oneof(0, 1)), Classifier(10))))


def trials_of(folder: Path) -> list[dict]:
    """Trials of a run's log without times."""
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()[1:]]
    return [{k: v for k, v in line.items() if "_s" not in k and k != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job") / "run"
    result = archwright.search(
        small_space(), "digits", maximize="accuracy_percent", minimize="params_m", subject_to="params_m<=0.02",
        budget="12 trials", out=str(folder), quiet=True,
        options={"supernet_epochs": 3, "epochs": 2, "finalists": 2},
    )  # fmt: skip
    return folder, result


def test_the_job_leaves_a_network_that_others_can_use(finished):
    folder, result = finished
    for name in ("run.toml", "manifest.json", "trials.jsonl", "pareto.csv", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    for name in ("architecture.json", "model.py", "model.safetensors", "metrics.json"):
        assert (folder / "best" / name).stat().st_size > 0, name
    assert result.feasible and result.metrics["params_m"] <= 0.02
    assert result.metrics["accuracy_percent"] > 30.0  # chance is 10
    assert len(result.result.trials) == 12
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = result.network.eval()(x)
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); from model import load\n"
        "x = torch.load(sys.argv[2], weights_only=True); torch.save(load().eval()(x).detach(), sys.argv[3])"
    )
    torch.save(x, folder / "x.pt")
    done = [sys.executable, "-I", "-c", code, str(folder / "best"), str(folder / "x.pt"), str(folder / "y.pt")]
    subprocess.run(done, check=True)
    torch.testing.assert_close(torch.load(folder / "y.pt", weights_only=True), expected)


def test_no_file_of_a_run_is_a_pickle(finished):
    folder, _ = finished
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".pt":
            assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"), path


def test_a_folder_with_a_run_is_not_overwritten(finished):
    folder, _ = finished
    with pytest.raises(RunLogError, match="archwright resume"):
        run_job(check({"out": str(folder)}), quiet=True)


def test_resuming_a_finished_run_changes_nothing(finished):
    folder, result = finished
    before = trials_of(folder)
    again = resume_job(folder, space=small_space(), quiet=True)
    assert trials_of(folder) == before
    assert again.architecture == result.architecture


def test_the_same_seed_gives_the_same_trials(finished, tmp_path):
    folder, _ = finished
    archwright.search(
        small_space(), "digits", maximize="accuracy_percent", minimize="params_m", subject_to="params_m<=0.02",
        budget="12 trials", out=str(tmp_path / "again"), quiet=True,
        options={"supernet_epochs": 3, "epochs": 2, "finalists": 2, "baseline": False},
    )  # fmt: skip
    assert trials_of(tmp_path / "again") == trials_of(folder)


def test_commands_read_the_run(finished):
    folder, _ = finished
    for command in (["show", str(folder)], ["export", str(folder), "--source", str(folder / "src")]):
        done = subprocess.run([sys.executable, "-m", "archwright.cli", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "accuracy_percent" in subprocess.run(
        [sys.executable, "-m", "archwright.cli", "show", str(folder)], capture_output=True, text=True
    ).stdout  # fmt: skip


def test_commands_on_a_folder_without_run_say_so(tmp_path):
    for command in ("show", "resume", "report"):
        done = subprocess.run(
            [sys.executable, "-m", "archwright.cli", command, str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 2 and "holds no run" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_with_little_time_networks_near_the_promised_front_are_trained(tmp_path):
    values = {
        "maximize": ["accuracy_percent"], "minimize": ["params_m"], "budget": "8s", "seed": 0, "epochs": 400,
        "out": str(tmp_path / "run"), "baseline": False, "evaluation": "supernet",
    }  # fmt: skip
    job = run_job(check(values), task="digits", space=small_space(), quiet=True)
    kept = tmp_path / "run" / "checkpoint"
    assert json.loads((kept / "supernet.done").read_text())["training"] == "front"
    assert len(json.loads((kept / "finalists.json").read_text())) > 1
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert "prior" in json.dumps(manifest)
    assert job.metrics["accuracy_percent"] > 50.0


def test_finalists_go_on_from_the_weights_of_their_trials(tmp_path):
    values = {
        "maximize": ["accuracy_percent"], "minimize": ["params_m"], "budget": "4 trials", "seed": 0, "epochs": 2,
        "out": str(tmp_path / "run"), "evaluation": "train", "finalists": 2,
    }  # fmt: skip
    job = run_job(check(values), task="digits", space=small_space(), quiet=True)
    finalists = json.loads((tmp_path / "run" / "checkpoint" / "finalists.json").read_text())
    for found in finalists:  # the better of before and after counts
        assert found["valid"]["accuracy_percent"] >= found["predicted"]["accuracy_percent"] - 1e-6
    kept = {p.stem for p in (tmp_path / "run" / "checkpoint" / "trials").glob("weights-*")}
    assert 2 <= len(kept) <= 4 and job.feasible


def test_a_space_that_does_not_fit_is_refused_before_work(tmp_path):
    wrong = Space(Sequential((Conv(oneof(4, 8)), Classifier(3))))
    with pytest.raises(archwright.ArchwrightError, match=r"Classifier\(10\)"):
        archwright.search(wrong, "digits", out=str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_space_that_holds_recipes_is_refused_before_work(tmp_path):
    both = Space({"network": Sequential((Conv(4), Classifier(10))), "recipe": {"lr": oneof(0.01, 0.1)}})
    with pytest.raises(archwright.ArchwrightError, match="TrainEvaluator"):
        archwright.search(both, "digits", out=str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()


def test_an_unmeasured_goal_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no evaluator of this run"):
        archwright.search(data="digits", maximize="fame_score", out=str(tmp_path / "run"), quiet=True)


def start(folder: Path, *more: str) -> subprocess.Popen:
    path = folder.parent / "space.py"
    path.write_text(SPACE)
    return subprocess.Popen(
        [
            sys.executable, "-m", "archwright.cli", "search", str(path), "--budget", "10 trials", "--supernet-epochs",
            "3", "--epochs", "1", "--finalists", "1", "--maximize", "accuracy_percent", "--minimize", "params_m",
            "--out", str(folder), *more,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def killed_and_resumed(folder: Path, after: float) -> None:
    """Start a job, kill it after some seconds, and resume until it ends."""
    process = start(folder)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (folder / "run.toml").exists():
        lines = (folder / "trials.jsonl").read_text().splitlines() if (folder / "trials.jsonl").exists() else []
        resume_job(folder, quiet=True)
        kept = (folder / "trials.jsonl").read_text().splitlines()
        whole = [line for line in lines if line.endswith("}")]
        assert kept[: len(whole)] == whole
    else:
        start(folder).wait()


@pytest.mark.slow
def test_a_job_killed_anywhere_ends_as_if_it_had_not_been(tmp_path):
    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    began = time.monotonic()
    assert start(whole).wait() == 0
    duration = time.monotonic() - began
    rng = np.random.default_rng(0)
    for i, share in enumerate(rng.uniform(0.1, 1.0, size=50)):
        folder = tmp_path / f"killed{i}" / "run"
        folder.parent.mkdir()
        killed_and_resumed(folder, float(share) * duration)
        assert trials_of(folder) == trials_of(whole), (i, share)
        assert (folder / "best" / "model.py").exists()


def test_a_second_process_is_refused(tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint" / "lock").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.2)
        done = subprocess.run(
            [sys.executable, "-m", "archwright.cli", "resume", str(folder)], capture_output=True, text=True
        )
        assert done.returncode == 2 and "in use by process" in done.stderr, done.stderr
    finally:
        process.kill()
        process.wait()


def test_equal_functions_are_trained_once(tmp_path, monkeypatch):
    from archwright.evaluators.train import TrainEvaluator
    from archwright.operators import Activation

    trained = []
    original = TrainEvaluator.evaluate

    def counted(self, architectures, **options):
        trained.extend(a.key for a in architectures)
        return original(self, architectures, **options)

    monkeypatch.setattr(TrainEvaluator, "evaluate", counted)
    relu = Activation("relu")  # once or twice is the same function
    space = Space(Sequential((Conv(oneof(4, 8), stride=2), relu, repeat(relu, times=oneof(0, 1)), Classifier(10))))
    result = archwright.search(
        space, "digits", maximize="accuracy_percent", budget="4 trials", out=str(tmp_path / "run"), quiet=True,
        options={"evaluation": "train", "cache": "functional_hash", "epochs": 1, "finalists": 1, "baseline": False},
    )  # fmt: skip
    values = {}
    for trial in result.result.trials:
        width = int(trial.candidate.architecture.code[0])
        values.setdefault(width, set()).add(trial.metrics["accuracy_percent"])
    assert len(result.result.trials) == 4 and len(trained) == 2
    assert all(len(found) == 1 for found in values.values())
