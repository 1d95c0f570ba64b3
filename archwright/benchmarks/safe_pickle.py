"""Reading pickles that others published without running what they name.

A pickle is a program; this reader knows containers, numbers and NumPy arrays, and refuses everything else.
"""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
from pathlib import Path
from typing import Any, BinaryIO

from archwright.errors import ConfigurationError

ALLOWED = frozenset(
    {
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("builtins", "dict"),
        ("builtins", "list"),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "tuple"),
        ("builtins", "int"),
        ("builtins", "float"),
        ("builtins", "str"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("_codecs", "encode"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


class SafeUnpickler(pickle.Unpickler):
    """Finds only what `ALLOWED` lists."""

    def find_class(self, module: str, name: str) -> Any:
        """The named class, if it only holds data."""
        if (module, name) not in ALLOWED:
            raise ConfigurationError(
                f"the pickle asks for {module}.{name}, expected containers, numbers and NumPy arrays only; "
                "it is not the published file, or it is not safe to read"
            )
        if module.startswith("numpy.core"):
            module = module.replace("numpy.core", "numpy._core", 1)
        return super().find_class(module, name)


def load_pickle(path: Path) -> Any:
    """The data in a pickle, `.gz`, `.bz2` and `.pbz2` files unpacked.

    Raises:
        ConfigurationError: if the file is no pickle, or names anything but data.
    """
    openers: dict[str, Any] = {".pbz2": bz2.open, ".bz2": bz2.open, ".gz": gzip.open}
    try:
        with openers.get(path.suffix, open)(path, "rb") as file:
            return SafeUnpickler(_buffered(file)).load()
    except (pickle.UnpicklingError, EOFError, OSError, AttributeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} is not a readable pickle ({error}); download it again") from error


def _buffered(file: Any) -> BinaryIO:
    return file if isinstance(file, io.BufferedReader) else io.BytesIO(file.read())


def load_torch(path: Path) -> Any:
    """The data in a file of `torch.save`, read with `weights_only`.

    Raises:
        ConfigurationError: if the file holds anything but tensors, containers and numbers.
    """
    import numpy as np
    import torch

    scalar: Any = np.float64(0.0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "u1", "?")]
    try:
        with torch.serialization.safe_globals([scalar, np.dtype, *dtypes]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{path} cannot be read as data alone ({first}); expected the published file of NAS-Bench-201"
        ) from error
