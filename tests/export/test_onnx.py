import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from export_networks import cell_space, sample, space, trained  # noqa: E402

from archwright.errors import ExportError  # noqa: E402
from archwright.export import onnx as exporter  # noqa: E402
from archwright.export.onnx import export_onnx, onnx_session  # noqa: E402
from archwright.nets.build import build  # noqa: E402
from archwright.operators.join import Add  # noqa: E402


def test_onnx_agrees_at_every_batch_size_and_holds_its_metadata(tmp_path, capfd, caplog):
    net = trained(sample(space(), 1), (1, 8, 8))
    net.train()
    real = (torch.rand(5, 1, 8, 8),)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        report = export_onnx(net, tmp_path / "model.onnx", real=real, metadata={"architecture_digest": "abc"})
    assert net.training, "the mode of the network must be left as it was"
    assert report.exporter == "dynamo" and report.note == ""
    assert set(report.checks) == {f"{kind}, batch {b}" for kind in ("random", "real") for b in (1, 3)}
    assert report.relative_error <= 1e-4
    session = onnx_session(tmp_path / "model.onnx")
    x = torch.rand(17, 1, 8, 8)
    (got,) = session.run(["output"], {"input": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, net.eval()(x).numpy(), rtol=1e-4, atol=1e-4)
    properties = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert properties["architecture_digest"] == "abc"
    assert capfd.readouterr() == ("", "") and not caplog.records
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_the_other_exporter_takes_over_and_the_report_says_so(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("unsupported operator\nmore lines")

    monkeypatch.setattr(exporter, "_dynamo", broken)
    net = trained(sample(cell_space(), 1), (3, 8, 8))
    report = export_onnx(net, tmp_path / "model.onnx")
    assert report.exporter == "torchscript"
    assert "RuntimeError: unsupported operator)" in report.note
    (got,) = onnx_session(tmp_path / "model.onnx").run(None, {"input": np.zeros((7, 3, 8, 8), np.float32)})
    assert got.shape == (7, 4)


class Wandering(nn.Module):
    """Adds another constant each time it runs, so that no exported graph can agree."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        if not torch.compiler.is_compiling():
            self.calls += 1
        return x + 0.25 * self.calls


def test_a_graph_that_differs_is_refused_with_numbers_and_the_old_file_stays(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with pytest.raises(ExportError, match=r"largest difference is [\d.e-]+ .* at most 0.0001 is accepted"):
        export_onnx(Wandering(), path, input_shapes=[(3,)])
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


class Shy(nn.Module):
    """Refuses to be traced."""

    def forward(self, x):
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            raise ValueError("no graph of this")
        return 2 * x


def test_what_neither_exporter_can_follow_is_one_clear_error(tmp_path):
    with pytest.raises(ExportError, match=r"cannot be written as ONNX; dynamo: .*; TorchScript: "):
        export_onnx(Shy(), tmp_path / "model.onnx", input_shapes=[(3,)])


def test_a_network_of_two_inputs_has_two_named_inputs(tmp_path):
    net = build(Add(), (3, 4, 4), (3, 4, 4)).eval()
    export_onnx(net, tmp_path / "model.onnx", real=(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)))
    session = onnx_session(tmp_path / "model.onnx")
    x = {f"input{i}": np.full((5, 3, 4, 4), i + 1.0, np.float32) for i in range(2)}
    assert (session.run(None, x)[0] == 3.0).all()
