"""Stands for packages that sglang imports and this run does not need, in every process.

A kernel package that the metadata goes through is never among them. flashinfer's two norms
are the only thing here that computes.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

STAND_INS = ("flashinfer", "IPython", "cutlass", "quack", "flash_attn", "xgrammar")


class Nothing:
    """Whatever is asked of it, another one; as a decorator it changes nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = args[0] if len(args) == 1 and not kwargs else self
        if callable(function) and not isinstance(function, Nothing):
            return function
        return Nothing(f"{self._name}()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler(Any)  # a field of its type takes whatever it is given

    def __getitem__(self, key: Any) -> Nothing:
        return Nothing(f"{self._name}[]")

    def __or__(self, other: Any) -> Nothing:
        return self

    __ror__ = __or__

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __bool__(self) -> bool:
        return False


class Module(ModuleType):
    """A module that has every name."""

    __path__: tuple[str, ...] = ()
    __version__ = "99.0"

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(f"{self.__name__}.{name}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins, at any depth, before anything else is looked for."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in STAND_INS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "flashinfer.norm":
            module.rmsnorm = rmsnorm
            module.fused_add_rmsnorm = fused_add_rmsnorm


def rmsnorm(
    input: Any, weight: Any, eps: float = 1e-6, out: Any = None, enable_pdl: Any = None
) -> Any:
    """flashinfer.norm.rmsnorm in plain torch: input [tokens, hidden].

    In double, where the sum is the same in any order: torch's order depends on how many
    tokens there are, and what a request says must not depend on what else is in its batch.
    """
    import torch

    wide = input.double()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    normed = (wide * scale * weight.double()).to(input.dtype)
    if out is None:
        return normed
    out.copy_(normed)
    return out


def fused_add_rmsnorm(
    input: Any, residual: Any, weight: Any, eps: float = 1e-6, enable_pdl: Any = None
) -> None:
    """flashinfer.norm.fused_add_rmsnorm: both tensors change in place."""
    residual.add_(input)
    input.copy_(rmsnorm(residual, weight, eps))


sys.meta_path.insert(0, Finder())
