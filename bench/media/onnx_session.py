"""onnxruntime sessions for networks that are ONNX files."""

from __future__ import annotations

from pathlib import Path


def onnx_session(path: Path, device: str):
    """An onnxruntime.InferenceSession on one file, in float32.

    On a cuda device the CUDA provider is used where this build of onnxruntime has it (the package `onnxruntime` of PyPI
    is CPU only, `onnxruntime-gpu` has both), with TF32 off; otherwise the CPU.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    providers: list = ["CPUExecutionProvider"]
    kind, _, index = device.partition(":")
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(index or 0), "use_tf32": 0}))
    return onnxruntime.InferenceSession(str(path), providers=providers)
