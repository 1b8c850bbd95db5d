"""What an interpreter has, and what of it is missing, before anything is started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from patcher.results import Exit, Reason, Refusal
from verify.engine import probe

PROBE_TIMEOUT = 180.0
GIB = 1 << 30
_PACKAGES = {
    "sgl_kernel": "sglang's kernel package (sgl-kernel, sglang-kernel from 0.5.11 on)",
    "deep_gemm": "DeepGEMM (sgl-deep-gemm; up to 0.5.10 a part of sgl-kernel)",
}


@dataclass(frozen=True)
class Environment:
    """What `probe.probe` found under `python`. package: the folder of sglang.

    gpu_free, gpu_total: bytes.
    """

    python: str
    version: str
    torch: str
    gpu: str
    package: Path
    release: str
    gpu_free: int
    gpu_total: int

    def require_memory(self, each: int, engines: int) -> None:
        """Raises `Refusal` if so many engines of `each` bytes are more than is free."""
        free, total = self.gpu_free / GIB, self.gpu_total / GIB
        if each * engines <= self.gpu_free:
            return
        many = "an engine" if engines == 1 else f"{engines} engines beside each other"
        what = (
            f"{many} would take {each * engines / GIB:.1f} GiB of GPU memory, "
            f"{each / GIB:.1f} each; {free:.1f} of {total:.1f} GiB are free"
        )
        hint = "end what else runs on the GPU, or fewer or shorter requests (--bs, --prompt)"
        if engines > 1:
            hint += ", or without --beside"
        raise Refusal(Reason(self.gpu, "", what, hint), code=Exit.UNAVAILABLE)


def look(python: str, release: str) -> Environment:
    """Asks `python`, which needs sglang `release`, a GPU and the kernel packages.

    Raises `Refusal` with every reason why an engine could not run there.
    """
    command = [python, probe.__file__]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _cannot(python, f"does not start: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _cannot(python, f"cannot say what it has: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    missing = [Reason(python, "", *words) for words in _missing(found, release)]
    if missing:
        raise Refusal(*missing, code=Exit.UNAVAILABLE)
    return Environment(
        python=python,
        version=found["python"],
        torch=found["torch"],
        gpu=found["gpu"],
        package=Path(found["sglang"]),
        release=found["release"],
        gpu_free=found["gpu_free"],
        gpu_total=found["gpu_total"],
    )


def _missing(found: probe.Json, release: str) -> Iterator[tuple[str, str]]:
    """(what, hint) for each thing that an engine needs and that is not there."""
    if not found["torch"]:
        error = found.get("torch_error", "not found")
        yield f"cannot import torch: {error}", "--python names another interpreter"
    elif not found["gpu"]:
        error = found.get("torch_error")
        what = (
            f"torch cannot use the GPU: {error}"
            if error
            else "torch sees no CUDA device"
        )
        yield what, "an engine needs an NVIDIA GPU"
    if not found["sglang"]:
        hint = f"install sglang {release} there, or --python names another interpreter"
        yield "has no sglang", hint
    elif found["release"] != release:
        has = found["release"] or "an sglang without a version"
        yield f"has sglang {has}, the tree is {release}", f"install sglang=={release}"
    for name, words in _PACKAGES.items():
        if name not in found["kernels"]:
            yield f"has no {name}", f"install {words}"


def _cannot(python: str, what: str) -> Refusal:
    hint = "--python must be an interpreter with torch and sglang"
    return Refusal(Reason(python, "", what, hint), code=Exit.UNAVAILABLE)
