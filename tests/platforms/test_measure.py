import pytest

from archwright.platforms import load, measure


def test_the_hosts_numbers_are_plausible_and_load_back(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("ARCHWRIGHT_PLATFORMS", str(tmp_path))
    monkeypatch.setattr(measure, "gemm_ops_per_s", lambda: 5e10)
    monkeypatch.setattr(measure, "memory_b_per_s", lambda: 1e10)
    platform, path = measure.save_host(measure.measure_host(threads=1))
    assert path == tmp_path / "host.toml"
    assert load("host") == platform
    assert 1e-8 < platform.compute.launch_s < 1e-2
    assert platform.memory.capacity_b > 1e9


@pytest.mark.slow
def test_a_product_and_a_copy_are_measured_for_real():
    pytest.importorskip("torch")
    assert 1e9 < measure.gemm_ops_per_s(sizes=(256,), repetitions=3) < 1e14
    assert 1e8 < measure.memory_b_per_s(megabytes=64, repetitions=3) < 1e13
