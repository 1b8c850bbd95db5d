"""Triton's interpreter in the place of a GPU's compiler: quicker, and it compiles.

A launch returns what a compiler would: a kernel for the types and constexprs that it has
seen. A tree that keeps it, and launches it again by addresses alone, is driven through
the same lines as on a GPU, and a key that leaves something out shows.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np


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


def compile_too(kind: Any) -> None:
    """Make launches of `kind`, Triton's InterpretedFunction, return a `Compiled`."""
    run = kind.run

    @functools.wraps(run)
    def compiling(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = run(self, *args, **kwargs)
        named = kwargs.keys() - {"grid", "warmup"}
        return result if named or kwargs.get("warmup") else Compiled(self, args)

    kind.run = compiling


class Compiled:
    """A kernel for the types and constexprs of its first launch, as CompiledKernel is."""

    def __init__(self, kernel: Any, args: tuple[Any, ...]) -> None:
        from triton.runtime.jit import mangle_type

        self._kernel = kernel
        kinds = kernel.fn.__annotations__
        constant = [
            str(kinds.get(n, "")).find("constexpr") >= 0 for n in kernel.arg_names
        ]
        self._values = {i: value for i, value in enumerate(args) if constant[i]}
        self._types = {
            i: mangle_type(value)
            for i, value in enumerate(args)
            if hasattr(value, "data_ptr")
        }

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any) -> None:
            self._kernel[grid](*(self._arg(i, value) for i, value in enumerate(args)))

        return launch

    def _arg(self, at: int, value: Any) -> Any:
        if at in self._types:
            return _pointer(self._types[at], value)
        return self._values.get(at, value)


def _pointer(kind: str, address: int) -> Any:
    """An address as the interpreter's own pointer to elements of `kind` ("*i32")."""
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    of = tl.str_to_ty(kind, None)
    return tl.tensor(TensorHandle(np.array([address], dtype=np.uint64), of), of)
