"""Placeholders for everything the tree imports and metadata does not need.

A placeholder is falsy, callable, subscriptable, usable as a decorator, as a base
class and in annotations. What must have a real answer (`is_cuda`, batch sizes to
capture, ...) is an override, set by name.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from verify.worker.observe.evidence import EVIDENCE


class Placeholder:
    """Harmless in any position; its repr says where it came from.

    Whoever consults one (calls it, asks for its truth, indexes it, compares it) after
    the imports is noted: the answer means nothing.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<placeholder {self._name}>"

    def __bool__(self) -> bool:
        EVIDENCE.consult(f"{self._name} asked for its truth")
        return False

    def __eq__(self, other: object) -> bool:
        EVIDENCE.consult(f"{self._name} compared")
        return self is other

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Used as a bare decorator it hands the function back."""
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType):
            return args[0]
        EVIDENCE.consult(f"{self._name} called")
        return Placeholder(f"{self._name}()")

    def __getitem__(self, item: Any) -> Any:
        EVIDENCE.consult(f"{self._name} indexed")
        return Placeholder(f"{self._name}[]")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class StubModule(types.ModuleType):
    """A module whose every attribute is an override or a placeholder."""

    def __init__(
        self,
        name: str,
        overrides: dict[str, Any],
        is_real: Callable[[str], bool] = lambda name: False,
    ) -> None:
        super().__init__(name, "A placeholder: this module is not needed for metadata.")
        self.__path__: list[str] = []
        self.__dict__.update(overrides)
        self.__dict__["_is_real"] = is_real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._is_real(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        value = Placeholder(f"{self.__name__}.{name}")
        self.__dict__[name] = value
        return value


class Record:
    """A plain object of whatever it is given: ForwardBatch, EagleDraftInput, ..."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        EVIDENCE.consult(f"field {name}, which the verifier leaves unset")
        return None

    def capture(self, *args: Any, **kwargs: Any) -> None:
        """What DeepEPCudaGraphRunnerAdapter does for a single rank: nothing."""

    def replay(self) -> None:
        """Likewise."""


def const(value: Any) -> Callable[..., Any]:
    """A function that gives this, whatever it is asked."""
    return lambda *args, **kwargs: value


@contextmanager
def nothing(*args: Any, **kwargs: Any) -> Iterator[None]:
    """A context manager that does nothing."""
    yield
