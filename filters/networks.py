"""The small networks that ship with the project, and how onnxruntime runs them: on one thread, on the processor."""

import hashlib
from importlib import metadata, resources
from typing import Any


def read_network(name: str) -> bytes:
    """Return the file `name` of this package; also from a zip, as spark-submit sends it."""
    return resources.files("filters").joinpath(name).read_bytes()


def network_version(name: str, *files: str) -> str:
    """Return `name` with 8 hexadecimal digits of the sha256 of `files` together, and onnxruntime's version."""
    short_hash = hashlib.sha256(b"".join(read_network(file) for file in files)).hexdigest()[:8]
    return f"{name}@{short_hash}+onnxruntime-{metadata.version('onnxruntime')}"


def open_session(network: bytes) -> Any:
    """Return an `onnxruntime.InferenceSession` of an ONNX model."""
    import onnxruntime  # noqa: PLC0415 - a third of a second to import: only when used

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # shapes differ: memory would grow
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(network, sess_options=options, providers=["CPUExecutionProvider"])
