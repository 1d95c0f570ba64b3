"""Errors, units, registry and data folders."""

import pytest

from archwright import registry
from archwright.data import data_file, data_root
from archwright.errors import ConfigurationError, MissingPackageError, nearest, require
from archwright.registry import register
from archwright.units import UNITS, convert, stem_of, unit_of


def test_the_nearest_name_is_offered():
    assert nearest("nsga", ["nsga2", "random"]) == "did you mean 'nsga2'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
    assert nearest("zzz", []) == "none is known"


def test_a_missing_package_names_its_extra():
    with pytest.raises(MissingPackageError, match=r"archwright\[onnx\]"):
        require("surely_not_installed", extra="onnx", feature="export to ONNX")
    require("json", extra="onnx", feature="nothing")


def test_units_stand_at_the_end():
    assert unit_of("latency_ms") == "ms"
    assert unit_of("throughput_per_s") == "per_s"
    assert stem_of("latency_ms") == "latency"
    for unit in UNITS:
        assert unit_of(f"thing_{unit}") == unit


@pytest.mark.parametrize("name", ["latency", "accuracy", "params_million", ""])
def test_a_metric_without_unit_is_refused(name):
    with pytest.raises(ConfigurationError, match="must end in a unit"):
        unit_of(name)


def test_values_are_converted_within_one_quantity():
    assert convert(1500.0, "latency_us", "latency_ms") == pytest.approx(1.5)
    assert convert(2.0, "params_m", "params_k") == pytest.approx(2000.0)
    assert convert(0.25, "error_share", "error_percent") == pytest.approx(25.0)
    with pytest.raises(ConfigurationError, match="measures time"):
        convert(1.0, "latency_ms", "energy_mj")


def test_every_declared_name_can_be_fetched():
    for kind in registry.KINDS:
        for name, entry in registry.entries(kind).items():
            thing = registry.get(kind, name)
            assert thing.__module__ == entry.module
            assert entry.summary, f"{kind} {name} has no docstring"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'nsga2'"):
        registry.get("strategies", "nsga22")
    with pytest.raises(ConfigurationError, match="unknown kind"):
        registry.names("strategy_things")


def test_two_things_cannot_have_one_name():
    @register("tasks", "only_in_this_test")
    class One:
        """A task."""

    with pytest.raises(ConfigurationError, match="already"):

        @register("tasks", "only_in_this_test")
        class Two:
            """Another task."""

    registry._objects.pop(("tasks", "only_in_this_test"))
    assert One is not None


def test_data_are_found_by_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ARCHWRIGHT_DATA", str(tmp_path))
    assert data_root() == tmp_path
    (tmp_path / "x.txt").write_text("1")
    assert data_file("x.txt") == tmp_path / "x.txt"
    with pytest.raises(ConfigurationError, match="ARCHWRIGHT_DATA"):
        data_file("nasbench/absent.npz")


def test_a_broken_file_is_reported_and_the_others_stay(tmp_path, monkeypatch):
    good = '@register("strategies", "good")\nclass Good:\n    """Works."""\n'
    (tmp_path / "good.py").write_text(good)
    (tmp_path / "twice.py").write_text(good)
    (tmp_path / "broken.py").write_text('@register("strategies", "broken")\nclass Broken(:\n')
    (tmp_path / "vague.py").write_text('NAME = "vague"\n@register("strategies", NAME)\nclass Vague:\n    pass\n')
    monkeypatch.setattr(registry, "KINDS", {"strategies": str(tmp_path)})
    registry._scan.cache_clear()
    try:
        with pytest.warns(RuntimeWarning) as said:
            assert set(registry.entries("strategies")) == {"good"}
        text = " ".join(str(w.message) for w in said)
        assert "broken.py is left out" in text and "vague.py is left out" in text and "declared in" in text
    finally:
        registry._scan.cache_clear()
