"""Poison: what every buffer holds before the first replay, and its guards for ever.

The pattern depends on the buffer's name, the element's index and a seed, and not
on the step backend, since a route may share one set of buffers between them.
"""

from __future__ import annotations

import zlib

import torch

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def integer_view(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers of the same width: bits, not values."""
    wanted = _INTEGERS[tensor.element_size()]
    return tensor if tensor.dtype == wanted else tensor.view(wanted)


def whole_storage(tensor: torch.Tensor) -> torch.Tensor:
    """Every element of the tensor's storage, guards included, as a flat tensor."""
    storage = tensor.untyped_storage()
    count = storage.nbytes() // tensor.element_size()
    flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return integer_view(flat.set_(storage, 0, (count,), (1,)))


def pattern(
    name: str, count: int, seed: int, dtype: torch.dtype, device: torch.device | str
) -> torch.Tensor:
    """`count` integers, any bit pattern, no two neighbours alike."""
    start = zlib.crc32(f"{name}:{seed}".encode())
    index = torch.arange(count, dtype=torch.int64, device=device)
    mixed = (index + start) * 2654435761 + (index >> 3) * 40503 + start * 97
    mixed = mixed ^ (mixed >> 15)
    if dtype == torch.int64:
        return mixed
    bits = 8 * torch.empty(0, dtype=dtype).element_size()
    mixed = mixed & ((1 << bits) - 1)
    if dtype == torch.uint8:
        return mixed.to(dtype)
    half = 1 << (bits - 1)
    return (mixed - (mixed >= half).to(torch.int64) * (1 << bits)).to(dtype)


def poison(tensor: torch.Tensor, name: str, seed: int) -> None:
    """Overwrite the whole storage of `tensor`, in place."""
    flat = whole_storage(tensor)
    flat.copy_(pattern(name, flat.numel(), seed, flat.dtype, flat.device))
