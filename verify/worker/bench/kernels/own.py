"""The tree's own run-time compiled kernels in the place of the stand-ins, where they compile.

The tree falls back to something slower if one does not, and says so in a print only. So
they are compiled before anything is timed, and what is not is a stand-in, and reported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from verify.worker.tree.isolate import Isolated

_DECODE, _TARGET_VERIFY, _DRAFT_EXTEND = range(3)
_MODES = {"target_verify": _TARGET_VERIFY, "draft_extend": _DRAFT_EXTEND}
_PAGED = True
_standins: dict[str, ModuleType] = {}  # those that were taken away


def use(finder: Isolated, device: str, mode: str, impl: str) -> None:
    """Swap them, for one mode and decode kernel; `finder.kernels` says what is real."""
    if importlib.util.find_spec("tvm_ffi") is None:
        return
    for name in (*finder.standins, *_standins):
        if name.endswith(("fused_metadata_copy", "dsv4.topk")) and finder.is_real(name):
            _swap(finder, name, device, mode, impl)


def _swap(finder: Isolated, name: str, device: str, mode: str, impl: str) -> None:
    if name in finder.standins:
        _standins[name] = finder.standins.pop(name)
    try:
        module = importlib.import_module(name)
        for _compiled in _compile(module, device, mode, impl == "flashmla_kv"):
            pass
        finder.kernels[name] = "real"
    except Exception as error:  # whatever a compiler, a loader or a package may raise
        sys.modules.pop(name, None)
        finder.standins[name] = _standins.pop(name)
        first = (str(error).splitlines() or [""])[0]
        finder.kernels[name] = f"does not compile: {type(error).__name__}: {first}"


def _compile(
    module: ModuleType, device: str, mode: str, flashmla: bool
) -> Iterator[Any]:
    """What a replay would compile first; each is kept by the module itself."""
    if hasattr(module, "plan_topk_v2"):
        # Each release knows how to ask its compiler for it: up to 0.5.14 with a number.
        yield module.plan_topk_v2(torch.ones(1, dtype=torch.int32, device=device))
        return
    kind = _MODES.get(mode, _DECODE)
    yield module._jit_fused_metadata_copy_module(kind, _PAGED, flashmla)
    if kind == _DECODE:
        yield module._jit_fused_metadata_copy_multi_module(_PAGED, flashmla)
