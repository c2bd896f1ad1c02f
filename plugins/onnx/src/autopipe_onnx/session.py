"""Sessions of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor

from autopipe.errors import CheckpointError
from autopipe.wording import error_summary, shown


def session_options() -> onnxruntime.SessionOptions:
    """Return the settings of a session that computes with as many threads as torch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Otherwise its threads keep their processors busy while torch computes between two steps.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def open_session(
    model: str | bytes,
    options: onnxruntime.SessionOptions | None = None,
    **providers: Any,
) -> onnxruntime.InferenceSession:
    """Return the session for a model, given as a path or as the content of its file.

    Args:
        options: by default `session_options()`.
        **providers: the execution providers and their options.

    Raises:
        CheckpointError: if the runtime can't run the model.
    """
    providers.setdefault("providers", ["CPUExecutionProvider"])
    try:
        return onnxruntime.InferenceSession(
            model, session_options() if options is None else options, **providers
        )
    except Exception as error:
        what = shown(model) if isinstance(model, str) else "the exported network"
        raise CheckpointError(f"ONNX Runtime can't open {what} ({error_summary(error)})") from error


def session_on(model: bytes, weights: Mapping[str, Tensor]) -> onnxruntime.InferenceSession:
    """Return the session for a model whose initializers are these tensors, without copying them.

    Args:
        weights: the tensors by name, more than the model uses. They must live as long as the
            session.
    """
    options = session_options()
    used = [one.name for one in onnx.load_model_from_string(model).graph.initializer]
    values = [_value(weights[name]) for name in used if name in weights]
    options.add_external_initializers([name for name in used if name in weights], values)
    return open_session(model, options)


def _value(tensor: Tensor) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(tensor.detach().contiguous().numpy())
