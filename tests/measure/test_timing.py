import numpy as np
import pytest
import torch
from torch import nn

from archwright.errors import ConfigurationError, EvaluationError
from archwright.measure.backends import fixed_threads, runner
from archwright.measure.meter import LatencyMeter, machine
from archwright.measure.operators import COPIES, copies_of, inputs_of, time_operators
from archwright.measure.timing import Protocol, time_functions
from archwright.nets.onnx_probe import onnx_bytes

SHORT = Protocol(repeats=50, seconds=0.01, warmup_seconds=0.05, block_ms=1.0)


class FakeMachine:
    """A clock that functions move: what the protocol computes can be checked exactly."""

    def __init__(self, slowdown=lambda ns: 1.0):
        self.ns, self.slowdown, self.order = 0.0, slowdown, []

    def clock(self):
        return int(self.ns)

    def function(self, name, costs):
        costs = iter(costs)

        def run():
            self.order.append(name)
            self.ns += next(costs) * self.slowdown(self.ns)

        return run


def steady(ns):
    while True:
        yield ns


def test_median_percentile_and_spread_are_those_of_single_runs():
    host = FakeMachine()
    pattern = [1e6] * 19 + [5e6]  # every twentieth run is slow

    def costs():
        while True:
            yield from pattern

    (report,) = time_functions([host.function("a", costs())], Protocol(repeats=400, seconds=0.5), clock=host.clock)
    assert report.median_ms == pytest.approx(1.0) and report.minimum_ms == pytest.approx(1.0)
    assert report.iqr_ms == pytest.approx(0.0) and 1.0 <= report.p95_ms <= 5.0
    assert report.repeats >= 400 and report.warmup_runs > 0


def test_functions_take_turns_so_that_a_slow_moment_hits_all():
    host = FakeMachine(slowdown=lambda ns: 3.0 if 2e8 < ns < 4e8 else 1.0)
    functions = [host.function("a", steady(1e6)), host.function("b", steady(2e6))]
    a, b = time_functions(functions, Protocol(repeats=200, seconds=0.2), clock=host.clock)
    assert b.median_ms / a.median_ms == pytest.approx(2.0)
    switches = sum(x != y for x, y in zip(host.order, host.order[1:], strict=False))
    assert switches > 40


def test_warm_up_goes_on_until_medians_agree():
    host = FakeMachine()

    def cooling():
        ns = 5e6
        while True:
            yield ns
            ns = max(1e6, ns * 0.97)

    (report,) = time_functions([host.function("a", cooling())], Protocol(warmup_seconds=10.0), clock=host.clock)
    assert report.warmup_runs > 50 and report.p95_ms == pytest.approx(1.0, rel=0.05)


def test_every_function_gets_its_repeats_however_slow_it_is():
    host = FakeMachine()
    protocol = Protocol(repeats=50, seconds=0.05)
    reports = time_functions(
        [host.function("s", steady(5e7)), host.function("f", steady(1e4))], protocol, clock=host.clock
    )
    assert reports[0].repeats >= 50 and reports[1].repeats * 1e4 >= 0.05e9


def test_a_drifting_machine_is_measured_again_and_flagged(monkeypatch):
    from archwright.measure import timing

    readings = iter([1.0, 1.2, 1.0, 1.01])
    monkeypatch.setattr(timing, "_reference_ms", lambda kernel, clock: next(readings))
    host = FakeMachine()
    (report,) = time_functions([host.function("a", steady(1e6))], Protocol(attempts=2), clock=host.clock)
    assert not report.drifted and report.drift_percent == pytest.approx(1.0)
    readings = iter([1.0, 1.2, 1.0, 1.3])
    (report,) = time_functions([host.function("a", steady(1e6))], Protocol(attempts=2), clock=host.clock)
    assert report.drifted and report.drift_percent == pytest.approx(30.0)


def net_of(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, 10),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_wider_network_is_slower_in_every_backend(backend):
    meter = LatencyMeter(backend, protocol=SHORT)
    before = torch.get_num_threads()
    small, large = meter.measure([net_of(4), net_of(256)], (3, 32, 32))
    assert torch.get_num_threads() == before
    assert 0 < small.minimum_ms <= small.median_ms <= small.p95_ms
    assert large.median_ms > 2 * small.median_ms
    assert (small.backend, small.threads, small.batch) == (backend, 1, 1) and small.repeats >= 50


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_networks_are_timed():
    (report,) = LatencyMeter("torch-compile", protocol=SHORT).measure([net_of(16)], (3, 16, 16))
    assert report.median_ms > 0


def test_onnx_runtime_computes_what_torch_does():
    net = net_of(8).eval()
    x = torch.randn(2, 3, 16, 16)
    (given,) = runner(net, [x], "onnxruntime", 1)()
    with torch.no_grad():
        assert np.abs(given - net(x).numpy()).max() < 1e-5


def test_unknown_backends_and_thread_counts_are_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'onnxruntime'"):
        LatencyMeter("onnxruntim")
    with pytest.raises(ConfigurationError, match="threads=0"):
        LatencyMeter(threads=0)


@pytest.mark.slow
def test_what_cannot_be_exported_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x).real

    with pytest.raises(EvaluationError, match=r"cannot be timed in onnxruntime.*exported"):
        LatencyMeter("onnxruntime").measure([Odd()], (4, 4))


def test_threads_are_fixed_for_a_while_only():
    before = torch.get_num_threads()
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_copies_of_an_operator_each_compute_the_operator():
    import onnxruntime

    conv = nn.Conv2d(3, 5, 3).eval()
    x = torch.randn(1, 3, 8, 8)
    model = copies_of(onnx_bytes(conv, [x]), COPIES)
    outputs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input_0": x.numpy()})
    with torch.no_grad():
        expected = conv(x).numpy()
    assert len(outputs) == COPIES and np.abs(outputs[0] - expected).max() < 1e-5
    for k in range(1, COPIES):
        assert 0 < np.abs(outputs[k] - expected).max() < 0.05


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_larger_operators_take_longer(backend):
    convs = [nn.Conv2d(c, c, 3, padding=1) for c in (8, 128)]
    times = time_operators(convs, [inputs_of([(8, 24, 24)]), inputs_of([(128, 24, 24)])], backend=backend)
    assert times[1].median_ms > 5 * times[0].median_ms > 0


def test_the_machine_is_described():
    assert machine()["torch"] == torch.__version__ and machine()["cores"] >= 1
