"""What the documents show is what works: Python blocks run, commands have these flags, files exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from archwright.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/tutorial.md", "docs/gradient.md", "docs/extending.md"]
BLOCK = re.compile(r"(?P<mark><!-- not run: .+? -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)

# Every search of a document gets a few seconds; what it says stays as it is.
PRELUDE = """
import archwright.api as api
_search = api.search
def _short(*args, **given):
    given |= {"budget": "3s", "quiet": True}
    given["options"] = {**(given.get("options") or {}), "epochs": 1, "supernet_epochs": 1, "finalists": 1}
    return _search(*args, **given)
api.search = _short
"""


def blocks(document: str, kind: str) -> list[str]:
    """Code blocks of a document that are not marked as left out."""
    found = BLOCK.finditer((ROOT / document).read_text())
    return [m["text"] for m in found if m["kind"] == kind and not m["mark"]]


def run_python(code: str, folder: Path) -> None:
    """Run code as a program of its own, in an empty folder."""
    path = folder / "document.py"
    path.write_text(PRELUDE + code)
    done = subprocess.run([sys.executable, str(path)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_readme_shows_the_quickstart():
    assert blocks("README.md", "python") == [(ROOT / "examples" / "quickstart.py").read_text()]
    assert len(blocks("README.md", "python")[0].splitlines()) <= 10


def test_the_quickstart_runs(tmp_path):
    run_python((ROOT / "examples" / "quickstart.py").read_text(), tmp_path)
    assert (tmp_path / "runs" / "quickstart" / "best" / "model.py").exists()


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    run_python("\n".join(blocks("docs/tutorial.md", "python")), tmp_path)


def test_the_guide_to_gradients_runs(tmp_path):
    shown = "\n".join(blocks("docs/gradient.md", "python"))
    run_python(shown + "\nassert small.penalties == (budget,) and method.warmup == 5", tmp_path)


def test_the_extensions_run_and_work(tmp_path):
    checks = """
space = aw.Space(Sequential((Scale(), Conv(aw.oneof(4, 8)), Classifier(3))))
problem = aw.Problem(space, (aw.Objective("energy_mj", "minimize"),), (Toll(space, (2, 6, 6)),))
found = aw.run(problem, "coin", "4 trials")
assert found.best.metrics["energy_mj"] > 0
supernet = aw.Supernet(space, (2, 6, 6)).eval()
x = torch.randn(2, 2, 6, 6)
for a in space.enumerate():
    assert torch.equal(supernet(x, a), supernet.extract(a).eval()(x))
"""
    head = "import torch\nimport archwright as aw\nfrom archwright.operators import Classifier, Conv, Sequential\n"
    run_python(head + "\n".join(blocks("docs/extending.md", "python")) + checks, tmp_path)


@pytest.mark.slow
def test_the_demo_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--budget", "10s", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "report.html").exists()


def commands() -> list[tuple[str, str]]:
    """Every line of a shell block that calls archwright."""
    found = []
    for document in DOCUMENTS:
        for text in blocks(document, ""):
            found += [(document, line) for line in text.splitlines() if line.startswith("archwright ")]
    return found


@pytest.mark.parametrize(("document", "line"), commands())
def test_a_command_of_a_document_has_valid_flags(document, line):
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    command.make_context("archwright", words)  # raises where a flag or an argument is unknown
    if "search" in line.split()[:2]:
        from archwright.job.config import check

        given = dict(re.findall(r"--(strategy|evaluation|training|budget|backend) (\"[^\"]+\"|\S+)", line))
        check({k: v.strip('"') for k, v in given.items()})


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_of_a_document_exist(document):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    used = {w for text in blocks(document, "") for w in re.findall(r"^make ([\w-]+)", text, re.M)}
    assert used and used <= set(targets)


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/benchmarks.md", "docs/systems.md", "docs/design.md"])
def test_links_of_a_document_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_table_of_benchmarks_says_met_or_by_how_much_missed():
    said = "v(3, 2, False), v(3, 2, True), v(1, 2, False), v(1, 0, True)"
    code = f"from table import verdict as v; print({said}, sep=' | ')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "met | missed by 50 % | missed by 50 % | missed"
    subprocess.run([sys.executable, "table.py", "--check"], cwd=ROOT / "benchmarks", capture_output=True, check=True)


def test_the_table_of_systems_counts_its_rows_and_names_files_that_exist():
    text = (ROOT / "docs" / "systems.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]* \| (\w+) \| (.*) \|$", text, re.M)
    states = [state for _, state, _ in rows]
    works, partial, outside, absent = map(
        int, re.search(r"Works: (\d+)\. Partial: (\d+)\. Outside: (\d+)\. Not there: (\d+)\.", text).groups()
    )
    assert (works, partial, outside) == tuple(states.count(s) for s in ("works", "partial", "outside"))
    assert works + partial + outside + absent == 144 and len({number for number, _, _ in rows}) == len(rows)
    for number, _, evidence in rows:
        for path in re.findall(r"`((?:tests|benchmarks|archwright|examples)/[\w/.]+)", evidence):
            assert (ROOT / path.rstrip(".")).exists(), f"row {number}: {path}"
