"""A quick ONNX export to time a network with: small and fast, not the artifact that is handed over.

The graph tracer takes a tenth of a second where the exporter of final artifacts takes seconds; where it cannot follow a
network, that exporter is used.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archwright.errors import ExportError, require

OPSET = 17


def onnx_bytes(net: nn.Module, inputs: Sequence[Tensor]) -> bytes:
    """An ONNX model of a network in evaluation mode, for inputs of exactly these shapes.

    Inputs are named `input_0`, `input_1`, ..., the output `output`.

    Raises:
        ExportError: if neither exporter can follow the network.
    """
    require("onnx", extra="onnx", feature="export to ONNX")
    net.eval()
    names = [f"input_{i}" for i in range(len(inputs))]
    first: Exception
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            buffer: Any = io.BytesIO()
            torch.onnx.export(
                net,
                tuple(inputs),
                buffer,
                input_names=names,
                output_names=["output"],
                opset_version=OPSET,
                dynamo=False,
            )
            return buffer.getvalue()
        except Exception as error:  # the tracer raises many types; the other exporter decides
            first = error
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                net, tuple(inputs), input_names=names, output_names=["output"], dynamo=True, verbose=False
            )
            if program is None:
                raise ExportError("the exporter gave no program")
            return bytes(program.model_proto.SerializeToString())
        except Exception as error:
            raise ExportError(
                f"the network cannot be exported to ONNX: {str(error).splitlines()[0]} (tracing failed as well: "
                f"{str(first).splitlines()[0]}); find the operator that ONNX lacks, or measure with backend='torch'"
            ) from error
        finally:
            logger.setLevel(level)


__all__ = ["OPSET", "onnx_bytes"]
