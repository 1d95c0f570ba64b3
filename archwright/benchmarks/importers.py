"""Official benchmark files as columns: NAS-Bench-201 and NATS-Bench (topology), HW-NAS-Bench.

`import_file` recognises a file by its content, reads it with a reader that runs nothing, and writes a folder of
columns. Formats: NAS-Bench-201 is one `torch.save` of `meta_archs` and `arch2infos` (Dong & Yang, 2020); NATS-Bench a
folder of one bzip2 pickle an architecture beside `meta.pickle.pbz2` (Dong et al., 2021); HW-NAS-Bench a pickle of lists
per device for NAS-Bench-201, and of tables of operators for FBNet (Li et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, cache_root
from archwright.benchmarks.fbnet_lookup import fbnet_columns
from archwright.benchmarks.safe_pickle import load_pickle, load_torch
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.errors import ConfigurationError, SpaceError

META = "meta.pickle.pbz2"
SHORT_NAMES = {"less": "12", "full": "200"}  # of the training lengths in NAS-Bench-201 1.0
Infos = Iterator[tuple[int, str, Mapping[str, Any]]]  # index, string, training length -> results


def import_file(
    source: Path | str, out: Path | str | None = None, progress: Callable[[int], None] | None = None
) -> Path:
    """Convert an official file or folder.

    Args:
        source: `NAS-Bench-201-*.pth`, a NATS-Bench `tss` folder, or `HW-NAS-Bench-*.pickle`.
        out: folder of columns to write; below the cache folder by default. It must not exist.
        progress: told the number of architectures read so far.

    Raises:
        ConfigurationError: if the source is none of these, or the folder exists.
    """
    path = Path(source)
    folder = Path(out) if out is not None else cache_root() / "imported" / path.name.split(".")[0]
    if (folder / "index.json").exists():
        raise ConfigurationError(f"{folder} holds imported columns already; remove it or name another folder")
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist; give the downloaded file or folder")
    if path.is_dir():
        columns = accuracy_columns(_of_folder(path), progress)
    elif path.suffix == ".pth":
        columns = accuracy_columns(_of_archive(load_torch(path), path), progress)
    else:
        columns = _of_pickle(path, progress)
    ColumnFolder.write(folder, columns, about=path.name)
    return folder


def _of_pickle(path: Path, progress: Callable[[int], None] | None) -> Mapping[str, np.ndarray]:
    data = load_pickle(path)
    if isinstance(data, Mapping) and "arch2infos" in data:
        return accuracy_columns(_of_archive(data, path), progress)
    if isinstance(data, Mapping) and ("nasbench201" in data or "fbnet" in data):
        columns = dict(hardware_columns(data["nasbench201"])) if "nasbench201" in data else {}
        return columns | dict(fbnet_columns(data.get("fbnet") or {}))
    keys = sorted(map(str, data))[:5] if isinstance(data, Mapping) else type(data).__name__
    raise ConfigurationError(f"{path} holds {keys}, expected the keys of NAS-Bench-201 or HW-NAS-Bench")


def _of_archive(data: Any, path: Path) -> Infos:
    try:
        strings, infos = data["meta_archs"], data["arch2infos"]
    except (KeyError, TypeError):
        raise ConfigurationError(f"{path} has no meta_archs and arch2infos; it is no file of NAS-Bench-201") from None
    for index in sorted(infos):
        yield int(index), strings[index], infos[index]


def _of_folder(path: Path) -> Infos:
    if not (path / META).exists():
        raise ConfigurationError(f"{path} has no {META}; expected a folder of NATS-Bench (topology)")
    strings = load_pickle(path / META)["meta_archs"]
    for file in sorted(path.glob("[0-9]*.pickle.pbz2")):
        index = int(file.name.split(".")[0])
        yield index, strings[index], load_pickle(file)


def accuracy_columns(infos: Infos, progress: Callable[[int], None] | None = None) -> Mapping[str, np.ndarray]:
    """Accuracies, losses of time, parameters and MACs per architecture.

    Returns:
        `ops` (rows, 6) and `index` (rows,); per training length H and dataset D: `D_SET_eH_mean` and `_trial` (percent,
        the lowest seed), `D_train_eH_s`, `D_params_m`, `D_macs_m`, `D_latency_s`.
    """
    from archwright.spaces.nasbench201 import from_string

    indices: list[int] = []
    codes: list[np.ndarray] = []
    cells: dict[str, dict[int, float]] = {}
    for count, (index, text, info) in enumerate(infos):
        indices.append(index)
        codes.append(from_string(text))
        for length, state in info.items():
            if isinstance(state, Mapping) and "all_results" in state:
                _results(state["all_results"], SHORT_NAMES.get(length, length), count, cells)
        if progress is not None and count % 500 == 0:
            progress(count)
    if not indices:
        raise SpaceError("the source lists no architecture; download it again")
    columns: dict[str, np.ndarray] = {"index": np.array(indices), "ops": np.stack(codes)}
    for name, values in cells.items():
        column = np.full(len(indices), np.nan)
        column[list(values)] = list(values.values())
        columns[name] = column
    return columns


def _results(results: Mapping[Any, Any], length: str, row: int, cells: dict[str, dict[int, float]]) -> None:
    """Put what was trained for one architecture and one training length into its cells."""
    by_dataset: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for (dataset, seed), result in results.items():
        by_dataset.setdefault(str(dataset), []).append((int(seed), result))
    for dataset, runs in by_dataset.items():
        runs.sort(key=lambda run: run[0])
        first = runs[0][1]
        accuracies: dict[str, list[float]] = {}
        for _, run in runs:
            for key, value in _last(run).items():
                accuracies.setdefault(key, []).append(float(value))
        for key, values in accuracies.items():
            stem = f"{dataset}_{key.replace('-', '_')}_e{length}"
            cells.setdefault(f"{stem}_mean", {})[row] = float(np.mean(values))
            cells.setdefault(f"{stem}_trial", {})[row] = values[0]
        times = first.get("train_times") or {}
        if times:
            cells.setdefault(f"{dataset}_train_e{length}_s", {})[row] = float(sum(times.values()))
        cells.setdefault(f"{dataset}_params_m", {})[row] = float(first["params"])
        cells.setdefault(f"{dataset}_macs_m", {})[row] = float(first["flop"])
        latency = first.get("latency") or []
        if len(latency):
            cells.setdefault(f"{dataset}_latency_s", {})[row] = float(np.mean(latency))


def _last(run: Mapping[str, Any]) -> dict[str, float]:
    """Set name -> accuracy after the last epoch; keys of the file read `x-valid@199`."""
    found: dict[str, tuple[int, float]] = {}
    for key, value in (run.get("eval_acc1es") or {}).items():
        name, _, epoch = str(key).partition("@")
        if name not in found or int(epoch) > found[name][0]:
            found[name] = (int(epoch), float(value))
    trained = run.get("train_acc1es") or {}
    if trained:
        found["train"] = (0, float(trained[max(trained)]))
    return {name: value for name, (_, value) in found.items()}


def hardware_columns(tables: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
    """HW-NAS-Bench: per dataset and device `D_DEVICE_latency_ms`, `D_DEVICE_energy_mj`.

    Raises:
        ConfigurationError: if the lists have different lengths.
    """
    from archwright.spaces.nasbench201 import from_string

    columns: dict[str, np.ndarray] = {}
    rows = None
    for dataset, table in tables.items():
        for name, values in table.items():
            if name == "config":
                if "ops" not in columns and values and "arch_str" in values[0]:
                    columns["ops"] = np.stack([from_string(c["arch_str"]) for c in values])
                continue
            if not name.endswith(("_latency", "_energy", "_arithmetic_intensity")):
                continue
            column = np.asarray(values, dtype=np.float64)
            if rows is not None and len(column) != rows:
                raise ConfigurationError(f"{dataset} {name} has {len(column)} rows, expected {rows} as before")
            rows = len(column)
            unit = {"latency": "latency_ms", "energy": "energy_mj"}.get(name.rsplit("_", 1)[1], "intensity_score")
            columns[f"{dataset}_{name.rsplit('_', 1)[0].removesuffix('_arithmetic')}_{unit}"] = column
    if rows is None:
        raise ConfigurationError("HW-NAS-Bench needs lists such as edgegpu_latency below nasbench201, got none")
    if "ops" not in columns:
        raise ConfigurationError("HW-NAS-Bench needs `config` with arch_str, so that rows have architectures")
    return columns


def imported_nasbench201(folder: Path | str, dataset: str = "cifar10") -> TableBenchmark:
    """A benchmark from imported columns, with the trial of the lowest seed as query and the mean as truth.

    Args:
        folder: what `import_file` wrote for NAS-Bench-201 or NATS-Bench.
        dataset: `cifar10`, `cifar100` or `ImageNet16-120`.

    Raises:
        ConfigurationError: if the folder has no test accuracy for the dataset.
    """
    from archwright.spaces.nasbench201 import nasbench201

    columns = ColumnFolder(Path(folder))
    sets = ("ori_test", "x_test")
    stem = next((f"{dataset}_{s}_e200" for s in sets if f"{dataset}_{s}_e200_mean" in columns), None)
    if stem is None:
        raise ConfigurationError(
            f"{folder} has no 200-epoch test accuracy of {dataset!r}; it has {sorted(columns)[:8]}"
        )

    def opened(file: str) -> ColumnFolder:
        return ColumnFolder(Path(file))

    shape, classes = {"cifar10": ((3, 32, 32), 10), "cifar100": ((3, 32, 32), 100)}.get(dataset, ((3, 16, 16), 120))

    def measured(column: str) -> Measured:
        return Measured(str(folder), column, opened=opened)

    seconds = f"{dataset}_train_e200_s"
    return TableBenchmark(
        name=f"imported-nasbench201-{dataset.lower()}",
        make_space=lambda: nasbench201(shape, classes),
        listed=lambda: columns["ops"],
        observed={
            "accuracy_percent": measured(f"{stem}_trial"),
            "params_m": measured(f"{dataset}_params_m"),
            "macs_m": measured(f"{dataset}_macs_m"),
        },
        goal="accuracy_percent",
        truth={"accuracy_percent": measured(f"{stem}_mean")},
        seconds={1.0: measured(seconds)} if seconds in columns else {},
    )
