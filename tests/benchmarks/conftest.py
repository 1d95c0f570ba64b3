import pytest

from archwright.data import data_root


@pytest.fixture(scope="session", autouse=True)
def column_cache(tmp_path_factory):
    """Converted columns of this test run, thrown away afterwards."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ARCHWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tables():
    """Skips where the external tables are not there."""
    root = data_root()
    if root is None or not (root / "nasbench" / "nb201_accuracy.npz").exists():
        pytest.skip("the benchmark tables are not there; set ARCHWRIGHT_DATA to the folder that holds nasbench/")
    return root / "nasbench"
