"""Guard bands: every buffer allocated while the mode is active gets a margin.

    storage   [ guard | data | guard ]
              ^0      ^storage_offset

A tensor that an operation allocates is moved into a larger storage with the same
shape and strides; views of it stay views. The margin is longer than any kernel's block
and at least one row of the buffer, so a write that is one row, one element or one
block off lands in it and is seen. Memory that an operation leaves undefined is filled,
the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SMALLEST = 4096
LARGEST = 1 << 18
FILLER = 91  # of the bands of what is never poisoned: inputs and constants
_ALIGN = 128  # elements: keeps the data on a 512-byte boundary, as an allocator would


class GuardBands(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Moves freshly allocated outputs into guarded storages; remembers them.

    `guarded` maps a storage's address to its (offset, extent) in elements.
    enabled: False under a sanitizer, which must see a buffer's own end.
    """

    def __init__(self, device: torch.device | str, enabled: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = torch.device(device)
        self.guarded: dict[int, tuple[int, int]] = {}
        self.paused = not enabled

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # To skip it torch imports it, which takes longer than most scenarios.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.paused:
            return out
        if func in _UNDEFINED and out.numel():
            out.fill_(FILLER)
        fresh = func is torch.ops.aten.lift_fresh.default
        returns = func._schema.returns
        if isinstance(out, torch.Tensor):
            if fresh or (len(returns) == 1 and returns[0].alias_info is None):
                return self._moved(out)
            return out
        if isinstance(out, tuple) and len(out) == len(returns):
            return tuple(
                self._moved(item)
                if isinstance(item, torch.Tensor) and spec.alias_info is None
                else item
                for item, spec in zip(out, returns, strict=True)
            )
        return out

    @contextmanager
    def pause(self) -> Iterator[None]:
        """No guard bands in here: inside a graph capture a move would be recorded."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        same_device = tensor.device.type == self.device.type
        if not same_device or tensor.dim() == 0 or tensor.layout != torch.strided:
            return tensor
        if tensor.untyped_storage().data_ptr() in self.guarded:
            return tensor  # `to` or `contiguous` handed back its input
        margin = _margin(tensor)
        extent = 1 + sum(
            (size - 1) * stride
            for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
        )
        extent = 0 if tensor.numel() == 0 else extent
        storage = torch.full(
            (2 * margin + extent,), FILLER, dtype=tensor.dtype, device=tensor.device
        )
        moved = storage.as_strided(tensor.shape, tensor.stride(), margin)
        moved.copy_(tensor)
        self.guarded[storage.untyped_storage().data_ptr()] = (margin, extent)
        _KEEP.append(storage)
        return moved


_UNDEFINED = (
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_like.default,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.new_empty.default,
    torch.ops.aten.new_empty_strided.default,
)

# A freed storage's address would be handed out again and its record be wrong, and a
# stale pointer into it would hit another buffer instead of staying harmless.
_KEEP: list[torch.Tensor] = []


def release_all() -> None:
    """Forget every guarded storage (between two scenarios)."""
    _KEEP.clear()


def _margin(tensor: torch.Tensor) -> int:
    row = tensor.stride(0) if tensor.dim() > 1 else 0
    margin = max(SMALLEST, min(row, LARGEST))
    return -(-margin // _ALIGN) * _ALIGN
