"""`archwright codesign`: a checked file, a run folder that can be continued, a report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from archwright.cli import app
from archwright.codesign.config import CoDesignConfig, check, to_toml
from archwright.codesign.run import is_codesign, read_config, resume_codesign, run_codesign
from archwright.codesign.setup import prepare
from archwright.errors import ArchwrightError, ConfigurationError, RunLogError
from archwright.job.config import read_toml

TABLE = '[tasks.small]\ntable = "digits-conv"\ninput = [1, 8, 8]\n'
BAD = {
    "no task": ("", "tasks"),
    "unknown key": ('stratgy = "joint"\n' + TABLE, "did you mean 'strategy'"),
    "unknown key of a task": (TABLE + "epochs = 3\n", "tasks.small.epochs"),
    "name of a task": ('[tasks."A b"]\ntable = "digits-conv"\ninput = [1, 8, 8]\n', "tasks.A b"),
    "no source of accuracies": ("[tasks.small]\n", "`table` or from `data`"),
    "two sources": (TABLE + 'data = "digits"\n', "give one of them"),
    "no input shape": ('[tasks.small]\ntable = "digits-conv"\n', "needs `input`"),
    "unknown dataflow": (TABLE + '[[accelerators]]\ntemplate = "tpu"\n', "accelerators"),
    "negative multipliers": (TABLE + "[[accelerators]]\npes = [0, -4]\n", "greater than or equal to 0"),
    "one option twice": (TABLE + "[[accelerators]]\npes = [64, 64]\n", "distinct"),
    "no sub-accelerator": ("accelerators = []\n" + TABLE, "accelerators"),
    "unknown limit": (TABLE + "[limits]\ntotal_area = 3\n", "limits.total_area"),
    "unknown technology": (TABLE + "[technology]\nclock = 3\n", "frequency_hz"),
    "limit without number": ('subject_to = ["area_mm2<=small"]\n' + TABLE, "a limit reads"),
    "budget": ('budget = "soon"\n' + TABLE, "a budget reads"),
    "no toml": ("budget = \n", "is no TOML"),
}
NEEDS_OBJECTS = {
    "unknown strategy": ('strategy = "nsga22"\n' + TABLE, "did you mean 'nsga2'"),
    "unknown table": (TABLE.replace("digits-conv", "digits-con"), "did you mean 'digits-conv'"),
    "wrong inputs": (TABLE.replace("[1, 8, 8]", "[8]"), "do not take inputs"),
    "unknown metric": ('minimize = "energy_uj"\n' + TABLE, "energy_mj"),
    "limit that limits nothing": (TABLE + "[[accelerators]]\npes = 64\nnoc_gb_per_s = 4\n[limits]\ntotal_pes = 32\n",
                                  "limits nothing"),
    "no classes": ('[tasks.t]\ndata = "missing.csv"\n', "missing.csv"),
}  # fmt: skip
SMALL = """
maximize = "accuracy_percent"
minimize = "energy_mj"
subject_to = ["latency_ms<=0.03", "area_mm2<=0.4"]
budget = "60 trials"
seed = 3
""" + TABLE + """
[[accelerators]]
pes = [64, 256]
template = ["nvdla", "eyeriss"]
noc_gb_per_s = [4, 16]
buffer_kb = 32

[[accelerators]]
pes = [0, 128]
buffer_kb = [32, 64]

[limits]
total_pes = 320
"""  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "given.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_one_clear_line(name, tmp_path):
    text, words = BAD[name]
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        check(read_toml(path), str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(NEEDS_OBJECTS))
def test_a_file_whose_parts_do_not_fit_is_refused_before_work(name, tmp_path):
    text, words = NEEDS_OBJECTS[name]
    path = written(tmp_path, text)
    with pytest.raises(ArchwrightError) as caught:
        prepare(check(read_toml(path), str(path)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_file_ends_the_program_with_code_2(tmp_path, monkeypatch, capsys):
    from archwright import cli

    monkeypatch.setattr("sys.argv", ["archwright", "codesign", str(written(tmp_path, "seed = -1\n" + TABLE))])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "seed" in err and err.count("\n") == 1


def test_a_configuration_survives_its_file(tmp_path):
    config = check(read_toml(written(tmp_path, SMALL)))
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert check(read_toml(tmp_path / "again.toml")) == config
    example = check(read_toml(Path(__file__).parents[2] / "examples" / "codesign.toml"))
    (tmp_path / "again.toml").write_text(to_toml(example))
    assert check(read_toml(tmp_path / "again.toml")) == example
    assert isinstance(example, CoDesignConfig) and set(example.tasks) == {"small", "large"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codesign")
    path = written(folder, SMALL)
    done = CliRunner().invoke(app, ["codesign", str(path), "--out", str(folder / "run")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "run", done.output


def test_a_run_leaves_a_folder_with_everything(finished):
    folder, said = finished
    assert "every limit holds" in said
    assert len((folder / "trials.jsonl").read_text().splitlines()) > 60
    for name in ("run.toml", "manifest.json", "pareto.csv", "report.html", "best/design.json", "best/small.json"):
        assert (folder / name).exists(), name
    assert is_codesign(folder) and read_config(folder).seed == 3


def test_the_design_that_is_handed_over_keeps_the_limits_and_adds_up(finished):
    design = json.loads((finished[0] / "best" / "design.json").read_text())
    metrics, layers = design["metrics"], design["networks"]["small"]["layers"]
    assert metrics["latency_ms"] <= 0.03 and metrics["area_mm2"] <= 0.4
    assert sum(a["pes"] for a in design["accelerators"]) <= 320
    assert metrics["energy_mj"] == pytest.approx(sum(x["energy_mj"] for x in layers))
    assert metrics["latency_ms"] == pytest.approx(sum(x["latency_ms"] for x in layers))  # one task is one chain
    assert metrics["accuracy_percent"] == metrics["small_accuracy_percent"]


def test_the_report_shows_front_schedule_roofline_and_layers(finished):
    page = (finished[0] / "report.html").read_text()
    body = page.split("<body>")[1]
    for title in ("Pareto front", "Networks and hardware", "Schedule of the best design",
                  "Roofline of the best design", "Latency by layer: small"):  # fmt: skip
        assert f"<h2>{title}</h2>" in body
    assert not re.search(r'(src|href)="http', body)
    assert "Predicted and measured" not in body


def test_a_network_of_the_design_can_be_costed_alone(finished):
    flags = ["cost", str(finished[0] / "best" / "small.json"), "--platform", "eyeriss", "--input", "1,8,8"]
    done = CliRunner().invoke(app, flags, catch_exceptions=False)
    assert "latency_ms = " in done.output


def test_a_longer_budget_goes_on_where_the_run_ended(finished, tmp_path):
    from shutil import copytree

    folder = tmp_path / "longer"
    copytree(finished[0], folder)
    before = (folder / "trials.jsonl").read_text()
    found = resume_codesign(folder, budget="75 trials", quiet=True)
    assert len(found.result.trials) == 75
    assert (folder / "trials.jsonl").read_text().startswith(before)
    keys = [t.candidate.architecture.code.tobytes() for t in found.result.trials]
    assert len(set(keys[60:]) - set(keys[:60])) == 15  # it knows what was tried before


def test_a_folder_is_not_overwritten_and_another_is_not_continued(finished, tmp_path):
    with pytest.raises(RunLogError, match="holds a run already"):
        run_codesign(read_config(finished[0]).model_copy(update={"out": str(finished[0])}), quiet=True)
    with pytest.raises(RunLogError, match="holds no co-design run"):
        resume_codesign(tmp_path, quiet=True)


@pytest.mark.slow
def test_accuracies_come_from_a_supernet_that_is_trained_on_the_digits(tmp_path):
    text = SMALL.replace(TABLE, '[tasks.seen]\ndata = "digits"\nspace = "digits_bench"\nsupernet_epochs = 12\n')
    config = check(
        read_toml(written(tmp_path, text.replace("60 trials", "25 trials"))) | {"out": str(tmp_path / "run")}
    )
    found = run_codesign(config, quiet=True)
    assert (tmp_path / "run" / "checkpoint" / "supernet-seen.safetensors").exists()
    done = [t.metrics["accuracy_percent"] for t in found.result.trials if t.state == "complete"]
    assert max(done) > 60 and np.median(done) > 30  # ten classes: far above chance, so weights were learned
    again = resume_codesign(tmp_path / "run", quiet=True)
    assert [t.metrics for t in again.result.trials] == [t.metrics for t in found.result.trials]
    setup = prepare(config)
    with pytest.raises(ConfigurationError, match="not trained yet"):
        setup.supernets[0].accuracy(np.zeros((1, 7), dtype=np.int16))
