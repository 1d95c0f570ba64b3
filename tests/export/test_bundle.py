import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from export_networks import cell_space, sample, space, trained

from archwright.errors import ExportError
from archwright.export import swap
from archwright.export.bundle import export_best, load_best
from archwright.export.swap import exchange, recover, replaced


class Rows:
    def __len__(self):
        return 12

    def batches(self, size, **_):
        yield torch.rand(size, 1, 8, 8), torch.zeros(size)


def test_a_bundle_holds_five_files_and_loads_back_bit_for_bit(tmp_path):
    architecture = sample(space(), 5)
    net = trained(architecture, (1, 8, 8))
    task = SimpleNamespace(name="digits", kind="classification", test=Rows())
    measured = {"accuracy_percent": 97.5, "latency_ms": float("nan")}
    done = export_best(net, architecture, tmp_path / "best", task=task, metrics=measured, predicted={"latency_ms": 0.2})
    names = {"architecture.json", "model.py", "model.safetensors", "model.onnx", "metrics.json"}
    assert {p.name for p in (tmp_path / "best").iterdir()} == names
    assert [p.name for p in tmp_path.iterdir()] == ["best"]
    written = json.loads((tmp_path / "best" / "metrics.json").read_text())
    assert written["measured"] == {"accuracy_percent": 97.5, "latency_ms": None}
    assert written["predicted"] == {"latency_ms": 0.2}
    assert written["onnx"]["largest_difference"] == done.onnx.absolute_error <= 1e-4
    assert written["source"]["largest_difference"] <= 1e-6
    head = (tmp_path / "best" / "model.py").read_text().split('"""')[1]
    assert "accuracy_percent: 97.5" in head and "task 'digits'" in head and architecture.digest in head
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_best(tmp_path / "best")(x), net(x))


def test_cells_load_back_too(tmp_path):
    architecture = sample(cell_space(), 3)
    net = trained(architecture, (3, 8, 8))
    export_best(net, architecture, tmp_path / "best", onnx=False)
    x = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_best(tmp_path / "best")(x), net(x))
    other = next(a for a in cell_space().sample(50, np.random.default_rng(1)) if a.digest != architecture.digest)
    (tmp_path / "best" / "architecture.json").write_text(other.to_json())
    with pytest.raises(ExportError, match=r"of different networks|cannot be rebuilt"):
        load_best(tmp_path / "best")
    (tmp_path / "best" / "architecture.json").write_text(architecture.to_json())
    (tmp_path / "best" / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{broken")
    with pytest.raises(ExportError, match="cannot read the weights"):
        load_best(tmp_path / "best")
    with pytest.raises(ExportError, match="holds no exported network"):
        load_best(tmp_path / "nowhere")


def test_a_network_of_another_architecture_is_refused_and_nothing_changes(tmp_path):
    net = trained(sample(space(), 5), (1, 8, 8))
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "mine").write_text("old")
    with pytest.raises(ExportError, match="not of this architecture"):
        export_best(net, sample(cell_space()), tmp_path / "best", onnx=False)
    assert (tmp_path / "best" / "mine").read_text() == "old"


def test_an_error_inside_leaves_the_old_folder(tmp_path):
    target = tmp_path / "best"
    with replaced(target) as fresh:
        (fresh / "a").write_text("1")
    with pytest.raises(ValueError), replaced(target) as fresh:
        (fresh / "a").write_text("2")
        raise ValueError
    assert (target / "a").read_text() == "1" and len(list(tmp_path.iterdir())) == 1


def test_folders_are_replaced_where_the_system_cannot_exchange_them(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "exchange", lambda a, b: False)
    for text in "123":
        with replaced(tmp_path / "best") as fresh:
            (fresh / "a").write_text(text)
        assert (tmp_path / "best" / "a").read_text() == text and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "best").rename(tmp_path / ".best.old")  # killed between the two renames
    recover(tmp_path / "best")
    assert (tmp_path / "best" / "a").read_text() == "3"


WRITER = """
import sys
from pathlib import Path
from archwright.export.swap import replaced
target = Path(sys.argv[1])
for i in range(10**9):
    with replaced(target) as fresh:
        for name in "abcd":
            (fresh / name).write_text(str(i))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="folders are exchanged atomically on Linux only")
def test_killed_at_any_moment_the_folder_is_whole(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir(), b.mkdir()
    if not exchange(a, b):
        pytest.skip("this file system cannot exchange folders atomically")
    target = tmp_path / "run" / "best"
    pauses = torch.rand(12, generator=torch.Generator().manual_seed(0)).tolist()
    for pause in pauses:
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), str(target)])
        while not target.exists():
            time.sleep(0.005)
        time.sleep(0.1 * pause)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert len({(target / name).read_text() for name in "abcd"}) == 1
