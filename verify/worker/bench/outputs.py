"""Hash every metadata buffer after a fixed script, on the state that was timed."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from typing import Any

import torch

from verify.worker.bench.drive import Timed
from verify.worker.observe.live import SUMS, readable, settle_plan
from verify.worker.observe.observe import walk
from verify.worker.observe.poison import integer_view, pattern
from verify.worker.tree import family

POISON = 7
REPLAYS = 3


def digests(driver: Timed) -> dict[str, str]:
    """sha256 by `backend N: path`, after poisoning and the last few input sets.

    Poisoned first, so that what no replay should write is compared too. Columns past
    the context are not hashed: later releases' page tables have a few more.
    """
    done = {
        backend._arange_buf.untyped_storage().data_ptr()
        for backend in driver.backends
        if hasattr(backend, "_arange_buf")  # a constant that metadata has views of
    }
    for _, path, tensor in _tensors(driver):
        address = tensor.untyped_storage().data_ptr()
        if address not in done:
            done.add(address)
            _poison(tensor, path)
    if family.is_dsa_here():
        for metadata in _captured(driver):
            for field in SUMS:  # the leading zero: a capture writes it
                getattr(metadata, field)[0] = 0
    for inputs in driver.inputs_sets[-REPLAYS:]:
        driver.run(inputs)
    if driver.device != "cpu":
        torch.cuda.synchronize()
    known: dict[Any, str] = {}
    found = {}
    kept: list[torch.Tensor] = []
    compare = _live if family.is_dsa_here() else _tensors
    for backend, path, tensor in compare(driver):
        compared = _within_context(tensor, path, driver)
        key = tensor.data_ptr(), compared.shape, tensor.stride(), tensor.dtype
        if key not in known:
            known[key] = _sha256(compared)
            kept.append(tensor)  # an address means nothing once its memory is free
        found[f"backend {backend}: {path}"] = known[key]
    return found


def _tensors(driver: Timed) -> Iterator[tuple[int, str, torch.Tensor]]:
    """The whole buffers come before the views of them, as the backend keeps them."""
    for i, backend in enumerate(driver.backends):
        for path, value in walk("", backend.decode_cuda_graph_metadata):
            if isinstance(value, torch.Tensor) and value.numel():
                yield i, path, value


def _captured(driver: Timed) -> list[Any]:
    """The metadata of the point's batch size, one a backend."""
    return [b.decode_cuda_graph_metadata[driver.point.bs] for b in driver.backends]


def _live(driver: Timed) -> Iterator[tuple[int, str, torch.Tensor]]:
    """What a consumer of family C may read: see verify.worker.observe.live."""
    for i, metadata in enumerate(_captured(driver)):
        for field, value in vars(metadata).items():
            for path, tensor in walk(field, value):
                if not isinstance(tensor, torch.Tensor):
                    continue
                if path == "topk_v2_plan":
                    tensor = tensor.clone()
                    settle_plan(tensor)
                yield i, path, readable(metadata, path, tensor)


def _poison(tensor: torch.Tensor, path: str) -> None:
    """By row and column, not by address: buffers of other widths get the same."""
    flat = integer_view(tensor)
    rows = flat if flat.dim() > 1 else flat.unsqueeze(0)
    for i, row in enumerate(rows):
        found = pattern(f"{path}:{i}", row.numel(), POISON, row.dtype, row.device)
        row.copy_(found.reshape(row.shape))


def _within_context(tensor: torch.Tensor, path: str, driver: Timed) -> torch.Tensor:
    if tensor.dim() < 2:
        return tensor
    context = driver.point.context
    columns = context // driver.point.page_size if "real" in path else context
    return tensor[:, :columns]


def _sha256(tensor: torch.Tensor) -> str:
    flat = tensor.to("cpu").contiguous()
    size = flat.numel() * flat.element_size()
    data = (ctypes.c_char * size).from_address(flat.data_ptr())
    return hashlib.sha256(memoryview(data)).hexdigest()
