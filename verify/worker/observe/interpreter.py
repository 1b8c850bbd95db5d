"""Triton's interpreter without what it does for nothing: a third of its time is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


def quicken(interpreter: Any, skip: Callable[[], bool]) -> None:
    """Change the module `triton.runtime.interpreter` for good; once is enough.

    skip: whether a launch that comes now need not run at all.

    - It swaps `tl` for itself in each device function that a kernel calls; here once a
      module and launch.
    - It works out, for its overflow checks, each sum in 64 bits, and throws the checks
      away unless it debugs; here not at all.
    - It builds a table of all types whenever it looks one up; here once a type.
    """
    patch, launch = interpreter._patch_lang, interpreter.GridExecutor.__call__
    patched: dict[int, Any] = {}

    def patch_once(function: Any) -> Any:
        module = id(function.__globals__)
        if module not in patched:
            patched[module] = patch(function)
        return patched[module]

    def launched(self: Any, *args: Any, **kwargs: Any) -> Any:
        if skip():
            return None
        patched.clear()
        try:
            return launch(self, *args, **kwargs)
        finally:
            patched.clear()

    interpreter._patch_lang = patch_once
    interpreter.GridExecutor.__call__ = launched
    builder = interpreter.interpreter_builder
    if hasattr(builder.options, "sanitize_overflow") and not builder.options.debug:
        options = dataclasses.replace(builder.options, sanitize_overflow=False)
        builder.options = options
    _remember_types(interpreter)


def _remember_types(interpreter: Any) -> None:
    look_up = getattr(interpreter, "_get_np_dtype", None)
    if look_up is None:
        return
    known: dict[str, Any] = {}

    def remembered(of: Any) -> Any:
        if of.name not in known:
            known[of.name] = look_up(of)
        return known[of.name]

    interpreter._get_np_dtype = remembered
