"""Which part may import which, read from the files; and how light the first import is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "archwright"

ABOVE_OPERATORS = {"nets", "costs", "evaluators", "gradient", "export", "report", "job", "tasks"}
# part -> parts that it must not import, at module level or below
FORBIDDEN = {
    "space": {"search", "strategies", "operators", *ABOVE_OPERATORS},
    "search": {"strategies", "operators", *ABOVE_OPERATORS},
    "strategies": {"evaluators", "nets", "gradient", "export", "report", "job", "tasks"},
    "operators": {"search", "strategies", *ABOVE_OPERATORS},
    "nets": {"strategies", "evaluators", "gradient", "export", "report", "job"},
    "costs": {"strategies", "evaluators", "gradient", "export", "report", "job"},
    "evaluators": {"strategies", "gradient", "export", "report", "job"},
    "gradient": {"strategies", "export", "report", "job"},
    "export": {"strategies", "evaluators", "gradient", "report", "job"},
    "report": {"strategies", "evaluators", "gradient", "job"},
    "tasks": {"strategies", "evaluators", "gradient", "export", "report", "job", "nets"},
}
TORCH_FREE = ("space", "search")


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere but under TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.add(child.module)
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("part", sorted(FORBIDDEN))
def test_imports_run_one_way(part):
    wrong = []
    for path in (PACKAGE / part).rglob("*.py"):
        for name in imports_of(path):
            pieces = name.split(".")
            if pieces[0] == "archwright" and len(pieces) > 1 and pieces[1] in FORBIDDEN[part]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, wrong


@pytest.mark.parametrize("part", TORCH_FREE)
def test_spaces_and_engine_do_not_import_torch(part):
    for path in (PACKAGE / part).rglob("*.py"):
        assert not {n for n in imports_of(path) if n.split(".")[0] == "torch"}, path


@pytest.mark.parametrize("name", ["random", "local_search", "regularized_evolution", "nsga2", "bayesian", "auto"])
def test_numpy_strategies_leave_torch_alone(name):
    check = f"from archwright import registry\nregistry.get('strategies', {name!r})\n"
    check += "import sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


FIRST_LINES = (
    "import archwright",
    "import archwright; archwright.Space; archwright.run",
    "from archwright.cli import app",
)


@pytest.mark.parametrize("code", FIRST_LINES)
def test_a_first_import_leaves_torch_alone(code):
    check = f"{code}\nimport sys\nassert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_listing_leaves_torch_alone():
    check = (
        "from archwright import registry\n"
        "for kind in registry.KINDS: registry.entries(kind)\n"
        "import sys\nassert 'torch' not in sys.modules\n"
        "assert 'nsga2' in registry.names('strategies') and 'mbconv' in registry.names('operators')"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
