"""CUDA that a tree compiles at run time: counted where it is launched, on a CPU as well.

On a CPU `load_jit` is a stand-in: the same source, compiled for the host, where a block's
threads are fibers (`host/cuda_runtime.h`). It takes addresses and numbers, no tensors.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from verify.worker.observe.evidence import EVIDENCE

MODULE = "sglang.jit_kernel.utils"
BLOCKED = "cuda.compile"
HOST = Path(__file__).parent / "host"

_EXPORT = """
template <auto function> struct Call;
template <typename... Args, int64_t (*function)(Args...)> struct Call<function> {
  template <size_t... i> static int64_t with(const int64_t* v, std::index_sequence<i...>) {
    return function(static_cast<Args>(v[i])...);
  }
  static int64_t call(const int64_t* v, int64_t count) {
    if (count != sizeof...(Args)) return -1;
    return with(v, std::index_sequence_for<Args...>());
  }
};
"""


def watch(module: ModuleType, blocked: bool) -> None:
    """Count what this module's compilers give, or let them give nothing."""
    for name in ("load_jit", "load_inline"):
        if name in vars(module):
            vars(module)[name] = _watched(vars(module)[name], blocked)


def watch_torch(source: bytes, blocked: bool) -> None:
    """The same of torch's own compiler, once a module comes that may use it."""
    if b"torch.utils.cpp_extension" in source:
        from torch.utils import cpp_extension

        if not hasattr(cpp_extension.load_inline, "_watched"):
            watch(cpp_extension, blocked)


def _watched(load: Callable[..., Any], blocked: bool) -> Callable[..., Any]:
    def compiled(*args: Any, **kwargs: Any) -> Any:
        if blocked:
            raise RuntimeError("nothing compiles here")
        made = load(*args, **kwargs)
        return made if EVIDENCE.resting else _Watched(made)

    compiled._watched = True  # type: ignore[attr-defined]
    return compiled


class _Watched:
    """A compiled module whose functions count as kernels."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def __getattr__(self, name: str) -> Any:
        return EVIDENCE.counted(name, getattr(self._compiled, name))


def for_host() -> ModuleType:
    """A `sglang.jit_kernel.utils` that compiles for the CPU."""
    module = ModuleType(MODULE)
    vars(module)["load_jit"] = _load_jit
    return module


def _load_jit(
    *names: str,
    cuda_files: Sequence[str],
    cuda_wrappers: Sequence[tuple[str, str]],
) -> SimpleNamespace:
    """What the tree's own gives, of functions of integers. Raises RuntimeError."""
    lines = [f'#include "{Path(file).resolve()}"' for file in cuda_files]
    lines += ["#include <utility>", _EXPORT]
    for name, function in cuda_wrappers:
        call = f"return Call<&{function}>::call(v, n);"
        lines.append(
            f'extern "C" __attribute__((visibility("default"))) int64_t {name}(const int64_t* v, int64_t n) {{ {call} }}'
        )
    library = ctypes.CDLL(str(_compiled("\n".join(lines) + "\n", cuda_files)))
    return SimpleNamespace(
        **{name: _callable(getattr(library, name)) for name, _ in cuda_wrappers}
    )


def _callable(function: Any) -> Callable[..., int]:
    function.restype = ctypes.c_int64

    def call(*values: int) -> int:
        given = (ctypes.c_int64 * len(values))(*values)
        error: int = function(given, ctypes.c_int64(len(values)))
        return error

    return call


def _compiled(text: str, files: Sequence[str]) -> Path:
    """The library, kept by what it is made of. Raises RuntimeError or OSError."""
    named = text
    for file in files:  # wherever they lie
        named = named.replace(str(Path(file).resolve()), Path(file).name)
    parts = [named.encode(), *(Path(file).read_bytes() for file in files)]
    parts += [file.read_bytes() for file in sorted(HOST.iterdir())]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"nsa-opt-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to somebody else")
    library = folder / f"{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            source, made = Path(place) / "host.cc", Path(place) / "host.so"
            source.write_text(text)
            options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-U_FORTIFY_SOURCE"]
            # Two libraries of one process share nothing.
            options += ["-fno-gnu-unique", "-fvisibility=hidden"]
            # A vector access off its boundary ends the worker, as it would a kernel.
            checks = ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
            command = ["g++", *options, *checks, f"-I{HOST}", "-o", str(made)]
            done = subprocess.run(
                [*command, str(source)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            made.replace(library)
    return library
