"""Triton's interpreter in the place of a GPU's compiler: quicker, and it compiles.

A warm-up returns what a compiler would: a kernel for the types and constexprs that it
has seen. A tree that keeps it, and launches it by addresses alone, is driven through the
same lines as on a GPU, and a key that leaves something out shows.
"""

from __future__ import annotations

import dataclasses
import types
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


def compile_too(interpreter: Any) -> None:
    """Let a kernel of the interpreter be warmed up, kept, and launched by its handles."""
    import triton

    kind = interpreter.InterpretedFunction
    kind.warmup = lambda self, *args, grid, **options: Compiled(self, args)
    triton.JITFunction = kind  # what a tree asks before it does so
    triton.runtime.driver.set_active(_Driver())


class _Driver:
    def get_current_stream(self, device: int) -> int:
        return 0


class Compiled:
    """A kernel for the types and constexprs that it was warmed up with: CompiledKernel.

    Those that a launch is given later do not count, as on a GPU.
    """

    function = packed_metadata = None

    def __init__(self, kernel: Any, args: tuple[Any, ...]) -> None:
        from triton.runtime.jit import mangle_type

        kinds = [str(kernel.fn.__annotations__.get(n, "")) for n in kernel.arg_names]
        self._kernel = kernel
        self._constant = {
            i: args[i] for i, kind in enumerate(kinds) if "constexpr" in kind
        }
        self._pointers = {
            i: mangle_type(value)
            for i, value in enumerate(args)
            if hasattr(value, "data_ptr")
        }
        signature = dict.fromkeys(kernel.arg_names, "constexpr")
        self.src = types.SimpleNamespace(signature=signature)

    def _init_handles(self) -> None:
        """Nothing is loaded onto a device."""

    def run(self, x: int, y: int, z: int, *args: Any) -> None:
        """What the compiled launcher takes: grid, stream, handles, hooks, arguments."""
        given = [
            _pointer(self._pointers[i], value)
            if i in self._pointers
            else self._constant.get(i, value)
            for i, value in enumerate(args[_AHEAD:])
        ]
        self._kernel[x, y, z](*given)


_AHEAD = 6  # the stream, function, packed metadata, launch metadata and two hooks


def _pointer(kind: str, address: int) -> Any:
    """An address as the interpreter's own pointer to elements of `kind` ("*i32")."""
    import triton.language as tl
    from triton.runtime import interpreter

    np, of = interpreter.np, tl.str_to_ty(kind, None)
    data = np.array([address], dtype=np.uint64)
    return tl.tensor(interpreter.TensorHandle(data, of), of)
