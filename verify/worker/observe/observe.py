"""Observe every metadata buffer of every backend: where it lies and what it holds.

A storage is named by the first metadata path that reaches it; views of it are recorded
with offset, shape, stride and type. Its whole extent, guard bands included, is hashed;
its bytes are kept until the next scenario so that the parent can ask for those whose
hashes differ.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from verify.worker.observe.poison import poison, whole_storage
from verify.worker.protocol import Extent, Layout, Observation, Owned, View
from verify.worker.tree import family


def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(path, tensor or plain value) pairs below a metadata object, in a fixed order."""
    if isinstance(value, torch.Tensor) or value is None or _plain(value):
        yield prefix, value
    elif isinstance(value, dict):
        for key in sorted(value, key=lambda k: (not isinstance(k, str), k)):
            part = f"bs{key}" if isinstance(key, int) else str(key)
            yield from walk(f"{prefix}.{part}" if prefix else part, value[key])
    elif isinstance(value, list | tuple):
        if all(_plain(item) for item in value):
            yield prefix, list(value)
        else:
            for i, item in enumerate(value):
                yield from walk(f"{prefix}[{i}]", item)
    elif hasattr(value, "__dict__"):
        for key, item in vars(value).items():
            yield from walk(f"{prefix}.{key}" if prefix else key, item)
    else:
        yield prefix, repr(value)


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def metadata_tensors(metadata: Any) -> list[tuple[str, torch.Tensor]]:
    """Named tensors of one NSAMetadata."""
    return [(p, v) for p, v in walk("", metadata) if isinstance(v, torch.Tensor)]


class Observer:
    """Observes one driver's backends, inputs and consumer; keeps bytes by digest.

    kept: integer tensors [elements of the storage] on the host, by sha256.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.kept: dict[str, torch.Tensor] = {}
        self.layouts: list[Layout] = []
        self._known: dict[str, int] = {}
        self._last: dict[tuple[int, int, torch.dtype], tuple[str, torch.Tensor]] = {}

    def poison(self, seed: int) -> None:
        """Fill every buffer a replay may write, in place; spoil the plain state.

        With seed 0 only the tables: what a capture left in the 1-D buffers (leading
        zeros, `cu_seqlens_q`) stays, and is compared.
        """
        done: set[int] = set()
        constant = {
            _address(backend._arange_buf)
            for backend in self.driver.backends
            if hasattr(backend, "_arange_buf")
        }
        states: list[Any] = [_state(backend) for backend in self.driver.backends]
        states.append(self.driver.seen())
        inputs = {_address(t) for t in self.driver.inputs().values()}
        for state in states:
            for path, tensor in walk("", state):
                if not isinstance(tensor, torch.Tensor) or tensor.numel() == 0:
                    continue
                address = _address(tensor)
                if address in done or address in constant or address in inputs:
                    continue
                done.add(address)
                if seed or tensor.dim() > 1:
                    poison(tensor, path, seed)
        for backend in self.driver.backends:
            backend.use_mha = True
            setattr(backend, _prefill_impl(), "poison")

    def poison_seen(self, seed: int) -> None:
        for path, tensor in self.driver.seen().items():
            poison(tensor, path, seed)

    def observe(self, replay: int, bs: int, batch: str) -> Observation:
        """One observation: digests by owner and storage, and the layout's index."""
        states: list[tuple[str, Any]] = [
            (f"backend {i}", _state(backend))
            for i, backend in enumerate(self.driver.backends)
        ]
        states.append(("inputs", self.driver.inputs()))
        states.append(("given", self.driver.given))
        states.append(("seen", self.driver.seen()))
        hashed: dict[int, str] = {}
        first: dict[int, str] = {}
        owners: dict[str, Owned] = {}
        digests: dict[str, dict[str, str]] = {}
        for owner, state in states:
            owners[owner], digests[owner] = self._owned(owner, state, hashed, first)
        layout = Layout(owners=owners, state=self._plain_state())
        return Observation(
            replay=replay,
            bs=bs,
            batch=batch,
            layout=self._index(layout),
            digests=digests,
        )

    def write(self, digests: list[str], file: Path) -> dict[str, list[int]]:
        """Kept bytes, one storage after another; (offset, size) of each in the file."""
        places: dict[str, list[int]] = {}
        with file.open("wb") as stream:
            for digest in dict.fromkeys(digests):
                data = _bytes(self.kept[digest])
                places[digest] = [stream.tell(), len(data)]
                stream.write(data)
        return places

    def _owned(
        self, owner: str, state: Any, hashed: dict[int, str], first: dict[int, str]
    ) -> tuple[Owned, dict[str, str]]:
        names: dict[int, str] = {}
        found = Owned(views={}, plain={}, shared={}, storages={})
        digests: dict[str, str] = {}
        for path, value in walk("", state):
            if not isinstance(value, torch.Tensor):
                found["plain"][path] = value
                continue
            address = _address(value)
            if address not in names:
                names[address] = path
                if address not in hashed:
                    hashed[address] = self._digest(value)
                digests[path] = hashed[address]
                if address in first:
                    found["shared"][path] = first[address]
                first.setdefault(address, f"{owner}: {path}")
                found["storages"][path] = self._extent(value)
            found["views"][path] = View(
                storage=names[address],
                offset=int(value.storage_offset()),
                shape=list(value.shape),
                stride=list(value.stride()),
                dtype=str(value.dtype).removeprefix("torch."),
            )
        return found, digests

    def _extent(self, tensor: torch.Tensor) -> Extent:
        storage = tensor.untyped_storage()
        first, length = self.driver.guards.guarded.get(storage.data_ptr(), (-1, -1))
        width = tensor.element_size()
        return Extent(
            elements=storage.nbytes() // width, first=first, length=length, width=width
        )

    def _plain_state(self) -> dict[str, dict[str, object]]:
        state: dict[str, dict[str, object]] = {}
        for i, backend in enumerate(self.driver.backends):
            current = getattr(backend, "forward_metadata", None)
            state[f"backend {i}"] = {
                "forward_metadata": [
                    f"bs{key}"
                    for key, value in backend.decode_cuda_graph_metadata.items()
                    if isinstance(key, int) and value is current
                ],
                "use_mha": backend.use_mha,
                _prefill_impl(): getattr(backend, _prefill_impl()),
            }
        return state

    def _index(self, layout: Layout) -> int:
        key = json.dumps(layout, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.layouts)
            self.layouts.append(layout)
        return self._known[key]

    def _digest(self, tensor: torch.Tensor) -> str:
        """sha256 of the storage; the last one again where no byte has changed."""
        flat = whole_storage(tensor)
        key = (flat.data_ptr(), flat.numel(), flat.dtype)
        digest, last = self._last.get(key, ("", flat))
        if digest and torch.equal(flat, last):
            return digest
        kept = flat.to("cpu", copy=True)
        digest = hashlib.sha256(_bytes(kept)).hexdigest()
        kept = self.kept.setdefault(digest, kept)
        self._last[key] = digest, kept if flat.device == kept.device else flat.clone()
        return digest


def _bytes(flat: torch.Tensor) -> memoryview:
    size = flat.numel() * flat.element_size()
    if size == 0:
        return memoryview(b"")
    return memoryview((ctypes.c_char * size).from_address(flat.data_ptr()))


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _prefill_impl() -> str:
    return "dsa_prefill_impl" if family.is_dsa_here() else "nsa_prefill_impl"


def _state(backend: Any) -> Any:
    return backend.decode_cuda_graph_metadata
