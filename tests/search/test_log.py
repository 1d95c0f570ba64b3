import math
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import search_parts as parts

from archwright.errors import RunLogError
from archwright.search.log import Ask, LoggedTrial, RunLog, ask_line, read_log, trial_line
from archwright.search.run import run
from archwright.search.trial import Candidate, Trial

HEADER = {"space": "abc", "seed": 0}


def trial(number=0, **fields):
    arch = parts.space().sample(1, np.random.default_rng(number))[0]
    given = {"state": "complete", "metrics": {"error_percent": 1.5}, **fields}
    candidate = Candidate(arch, given.pop("fidelity", 1.0), given.pop("resume_from", None))
    return Trial(number, candidate, **given)


def test_a_trial_comes_back_as_it_was_written(tmp_path):
    odd = {"a_ms": math.nan, "b_ms": math.inf, "c_ms": -math.inf, "d_ms": 0.1 + 0.2, "e_ms": 5e-324}
    first = trial(0, metrics=odd, seconds=0.125, at_s=2.5, simulated_at_s=7200.0)
    second = trial(1, state="failed", metrics={}, error='it said "no"\nand \u00fc', fidelity=1 / 3, resume_from=0)
    log = RunLog(tmp_path, HEADER)
    log.write([ask_line(Ask(2, 0, 2)), trial_line(first), trial_line(second)])
    log.close()
    content = read_log(tmp_path / "trials.jsonl")
    ask, one, two = content.events
    assert content.header["space"] == "abc"
    assert ask == Ask(2, 0, 2)
    assert isinstance(one, LoggedTrial)
    assert one.code == tuple(first.candidate.architecture.code.tolist())
    assert math.isnan(one.metrics["a_ms"])
    assert {k: v for k, v in one.metrics.items() if k != "a_ms"} == {k: v for k, v in odd.items() if k != "a_ms"}
    assert (one.seconds, one.at_s, one.simulated_at_s) == (0.125, 2.5, 7200.0)
    assert (two.state, two.error, two.fidelity, two.resume_from) == ("failed", second.error, 1 / 3, 0)


def test_half_a_line_at_the_end_is_cut_off_wherever_it_was_cut(tmp_path):
    log = RunLog(tmp_path, HEADER)
    log.write([ask_line(Ask(2, 0, 2)), trial_line(trial(0))])
    log.close()
    whole = (tmp_path / "trials.jsonl").read_bytes()
    line = trial_line(trial(1)).encode()
    for cut in range(1, len(line)):
        (tmp_path / "trials.jsonl").write_bytes(whole + line[:cut])
        log = RunLog(tmp_path, HEADER)
        assert len(log.content.events) == 2
        log.write([line.decode()])
        log.close()
        assert (tmp_path / "trials.jsonl").read_bytes() == whole + line


@pytest.mark.parametrize(
    "bad", [b"{}\n", b'{"trial":1\n', b"\x00\x00\x00\n", b"\n", b'{"trial":1,"state":"odd"}\n', b"3\n"]
)
def test_any_other_damage_is_an_error_with_its_line(tmp_path, bad):
    log = RunLog(tmp_path, HEADER)
    log.write([ask_line(Ask(2, 0, 2)), trial_line(trial(0))])
    log.close()
    path = tmp_path / "trials.jsonl"
    path.write_bytes(path.read_bytes() + bad + trial_line(trial(1)).encode())
    with pytest.raises(RunLogError, match=r"line 4 .*is damaged"):
        RunLog(tmp_path, HEADER)
    assert bad in path.read_bytes()  # nothing was cut off


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "trials.jsonl").write_text('{"some": "thing"}\n')
    with pytest.raises(RunLogError, match="line 1"):
        RunLog(tmp_path, HEADER)
    (tmp_path / "trials.jsonl").write_text("")
    with pytest.raises(RunLogError, match="no header"):
        RunLog(tmp_path, HEADER)


def test_an_unreadable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunLogError, match="cannot use"):
        RunLog(tmp_path / "file" / "run", HEADER)


def test_a_second_opening_is_refused_with_the_process_that_has_it(tmp_path):
    log = RunLog(tmp_path, HEADER)
    with pytest.raises(RunLogError, match=f"in use by process {os.getpid()}"):
        RunLog(tmp_path, HEADER)
    log.close()
    RunLog(tmp_path, HEADER).close()


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path):
    log = RunLog(tmp_path, HEADER)
    code = f"from pathlib import Path\nfrom archwright.search.log import RunLog\nRunLog(Path({str(tmp_path)!r}), {{}})"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.returncode == 1
    assert f"in use by process {os.getpid()}" in second.stderr
    log.write([ask_line(Ask(1, 0, 1))])
    log.close()
    assert len(read_log(tmp_path / "trials.jsonl").events) == 1


def test_a_full_disk_is_a_clear_error_and_nothing_before_it_is_lost(tmp_path):
    problem = parts.problem(parts.Toy())
    whole = run(problem, "nsga2", "400 trials", tmp_path / "whole", seed=1, batch=10)
    size = (tmp_path / "whole" / "trials.jsonl").stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, old[1]))
    try:
        with pytest.raises(RunLogError, match="Make room on the disk and resume"):
            run(problem, "nsga2", "400 trials", tmp_path / "run", seed=1, batch=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    kept = (tmp_path / "run" / "trials.jsonl").read_bytes()
    assert kept.endswith(b"\n")
    assert size // 2 - 3000 < len(kept) <= size // 2
    resumed = run(problem, "nsga2", "400 trials", tmp_path / "run", seed=1, batch=10)
    assert parts.trajectory(resumed) == parts.trajectory(whole)
