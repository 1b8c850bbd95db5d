"""Prints what an interpreter has of what an engine needs, as JSON.

Runs under that interpreter, by its path. Needs the standard library.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from typing import Any

Json = dict[str, Any]
KERNELS = ("sgl_kernel", "deep_gemm")


def probe() -> Json:
    """What there is, without importing sglang; an empty text for what is not.

    sglang: the package's folder. gpu: the device's name; gpu_free, gpu_total: bytes.
    kernels: which of `KERNELS`.
    """
    found: Json = {"python": sys.version.split()[0], "torch": "", "gpu": ""}
    try:
        import torch

        found["torch"] = torch.__version__
        if torch.cuda.is_available():
            found["gpu_free"], found["gpu_total"] = torch.cuda.mem_get_info()
            found["gpu"] = torch.cuda.get_device_name()
    except Exception as error:
        found["torch_error"] = f"{type(error).__name__}: {error}"
    found["sglang"] = _folder("sglang")
    try:
        found["release"] = importlib.metadata.version("sglang")
    except importlib.metadata.PackageNotFoundError:
        found["release"] = ""
    found["kernels"] = [name for name in KERNELS if _folder(name)]
    return found


def _folder(name: str) -> str:
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return places[0] if places else ""


if __name__ == "__main__":
    print(json.dumps(probe()))
