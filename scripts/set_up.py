"""Create the virtual environment and install archwright into it, saying how long it takes while it runs.

Usage: python scripts/set_up.py FOLDER EXTRAS      for example: python scripts/set_up.py .venv onnx
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def step(title: str, command: list[str], start: float) -> None:
    """Run one command, printing the time that has passed every ten seconds; show its output if it fails."""
    say(f"[{time.monotonic() - start:5.0f} s] {title}")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                say(f"[{time.monotonic() - start:5.0f} s]   ... {title}")
        if code:
            log.seek(0)
            say(log.read()[-8000:])
            sys.exit(f"{title} failed with exit code {code}; its output stands above")


def main() -> None:
    """Install the pinned CPU build of torch first, then archwright with its extras under the constraints."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the script may be started by any Python
        sys.exit(f"archwright needs Python 3.11 or newer, this is {sys.version.split()[0]}; name one with PYTHON=...")
    folder, extras = Path(sys.argv[1]), sys.argv[2]
    start = time.monotonic()
    python = str(folder / "bin" / "python")
    if not Path(python).exists():
        say(f"[    0 s] creating {folder} (the installation takes 1 to 5 minutes, by the network)")
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    pinned = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    step(f"installing {pinned} and setuptools", [*pip, pinned, "setuptools", "wheel"], start)
    step(f"installing archwright[{extras}]", [*pip, "--no-build-isolation", "-e", f".[{extras}]"], start)
    say(f"[{time.monotonic() - start:5.0f} s] installed")


if __name__ == "__main__":
    main()
