"""Every fault of a run.toml is one clear line."""

import subprocess
import sys

import pytest

from archwright.errors import ConfigurationError
from archwright.job.config import RunConfig, check, read_toml, to_toml
from archwright.job.reporting import command_of

BAD = {
    "unknown key": ('stratgy = "nsga2"', "did you mean 'strategy'"),
    "wrong type": ('epochs = "many"', "epochs"),
    "out of range": ("epochs = 0", "epochs"),
    "unreadable budget": ('budget = "a while"', "a budget reads"),
    "budget of nothing": ('budget = "0 trials"', "budget"),
    "metric without unit": ('maximize = "accuracy"', "must end in a unit"),
    "limit without number": ('subject_to = ["latency_ms<=fast"]', "a limit reads"),
    "impossible bounds": ('subject_to = ["latency_ms<=0.1", "latency_ms>=0.2"]', "no value of 'latency_ms'"),
    "unknown backend": ('backend = "tensorrt"', "onnxruntime"),
    "no toml": ("budget = ", "is no TOML"),
}
NEEDS_DATA = {
    "unknown metric": ('minimize = "size_mb"', "no evaluator of this run measures 'size_mb'"),
    "unknown strategy": ('strategy = "nsga22"', "did you mean 'nsga2'"),
    "unknown option of the strategy": (
        'strategy = "nsga2"\n[strategy_options]\npopulaton = 10',
        "did you mean 'population'",
    ),
    "option of no strategy": ("[strategy_options]\npopulation = 10", "given by name"),
    "unknown option of the data": ("[data_options]\nfolds = 3", "takes no option 'folds'"),
    "recipe for cells on a space without": ('strategy = "pc-darts"', "cells"),
    "limit that nothing meets": ('subject_to = ["params_m<=0.000001"]', "the smallest has"),
    "no such data": ('data = "no/such/folder"', "no/such/folder"),
    "unit of another quantity": ('subject_to = ["latency_mj<=1"]', "cannot be converted"),
    "no goal that data decide": ('minimize = "params_m"', "a goal that the data decide"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_refused_before_work(name, tmp_path):
    text, words = BAD[name]
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        check(read_toml(path), str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(NEEDS_DATA))
def test_a_file_that_does_not_fit_the_data_is_refused_before_work(name, tmp_path):
    from archwright.job.setup import prepare

    text, words = NEEDS_DATA[name]
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        prepare(check(read_toml(path), str(path)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["unknown key", "metric without unit"])
def test_the_command_line_ends_with_one_line_and_code_two(name, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(BAD[name][0])
    done = subprocess.run(
        [sys.executable, "-m", "archwright.cli", "search", str(path), "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert BAD[name][1] in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_limits_in_other_units_are_converted():
    from archwright.job.setup import prepare

    setup = prepare(check({"subject_to": ["latency_us<=300", "params_k<=50"]}))
    assert {(o.metric, o.at_most) for o in setup.objectives if o.goal == "limit"} == {
        ("latency_ms", 0.3),
        ("params_m", 0.05),
    }


def test_a_configuration_survives_its_file(tmp_path):
    config = check(
        {
            "maximize": "accuracy_percent",
            "subject_to": ["latency_ms<=0.3", "params_m<=0.1"],
            "strategy_options": {"population": 12},
            "out": 'a "quoted" name',
        }
    )
    path = tmp_path / "run.toml"
    path.write_text(to_toml(config))
    assert check(read_toml(path)) == config


def test_flags_mirror_the_keys():
    import inspect

    from archwright.cli import search

    assert set(inspect.signature(search).parameters) - {"source"} == set(RunConfig.model_fields)


def test_the_command_repeats_the_configuration():
    config = check({"subject_to": ["params_m<=0.1"], "baseline": False, "seed": 3})
    assert command_of(config) == "archwright search --subject-to 'params_m<=0.1' --seed 3 --no-baseline"


def test_the_functional_cache_needs_trainings_to_save():
    assert check({"cache": "functional_hash", "evaluation": "train"}).cache == "functional_hash"
    with pytest.raises(ConfigurationError, match="needs evaluation = train, got 'auto'"):
        check({"cache": "functional_hash"})
