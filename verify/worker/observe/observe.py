"""Look at every metadata buffer of every backend: where it lies and what it holds.

A buffer is a storage ("root"), named by the first metadata path that reaches it;
views of it are recorded with offset, shape, stride and type. A root's whole extent,
guard bands included, is hashed; its bytes are kept until the next scenario so that
the parent can ask for those whose hashes differ.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch

from verify.worker.observe.poison import poison, whole_storage

Json = dict[str, Any]


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
    """Observes one driver's backends, inputs and consumer; keeps bytes by digest."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.kept: dict[str, torch.Tensor] = {}
        self.structures: list[Json] = []
        self._known: dict[str, int] = {}

    def poison(self, seed: int) -> None:
        """Fill every buffer a replay may write, in place; spoil the plain state."""
        done: set[int] = set()
        constant = {
            _address(backend._arange_buf)
            for backend in self.driver.backends
            if hasattr(backend, "_arange_buf")
        }
        groups = [_state(backend) for backend in self.driver.backends]
        groups.append(("seen", self.driver.seen()))
        inputs = {_address(t) for t in self.driver.inputs().values()}
        for _, state in groups:
            for path, tensor in walk("", state):
                if not isinstance(tensor, torch.Tensor) or tensor.numel() == 0:
                    continue
                address = _address(tensor)
                if address in done or address in constant or address in inputs:
                    continue
                done.add(address)
                poison(tensor, path, seed)
        for backend in self.driver.backends:
            backend.use_mha = True
            backend.nsa_prefill_impl = "poison"
            backend.enable_auto_select_prefill_impl = True

    def poison_seen(self, seed: int) -> None:
        for path, tensor in self.driver.seen().items():
            poison(tensor, path, seed)

    def look(self) -> Json:
        """One observation: digests by group and root, and the layout's index."""
        groups = [
            (f"backend {i}", _state(backend)[1])
            for i, backend in enumerate(self.driver.backends)
        ]
        groups.append(("inputs", self.driver.inputs()))
        groups.append(("given", self.driver.given))
        groups.append(("seen", self.driver.seen()))
        hashed: dict[int, str] = {}
        owners: dict[int, str] = {}
        layout: Json = {}
        digests: Json = {}
        for group, state in groups:
            layout[group], digests[group] = self._group(group, state, hashed, owners)
        layout["plain"] = self._plain_state()
        return {"digests": digests, "layout": self._index(layout)}

    def _group(
        self, group: str, state: Any, hashed: dict[int, str], owners: dict[int, str]
    ) -> tuple[Json, Json]:
        roots: dict[int, str] = {}
        views: Json = {}
        plain: Json = {}
        digests: dict[str, str] = {}
        shared: dict[str, str] = {}
        sizes: Json = {}
        for path, value in walk("", state):
            if not isinstance(value, torch.Tensor):
                plain[path] = value
                continue
            address = _address(value)
            if address not in roots:
                roots[address] = path
                if address not in hashed:
                    hashed[address] = self._digest(value)
                digests[path] = hashed[address]
                if address in owners:
                    shared[path] = owners[address]
                owners.setdefault(address, f"{group}: {path}")
                sizes[path] = self._extent(value)
            views[path] = [
                roots[address],
                value.storage_offset(),
                list(value.shape),
                list(value.stride()),
                str(value.dtype).removeprefix("torch."),
            ]
        return {
            "views": views,
            "plain": plain,
            "shared": shared,
            "sizes": sizes,
        }, digests

    def _extent(self, tensor: torch.Tensor) -> list[int]:
        """[elements of the storage, first element of the data, its elements];
        the last two are -1 where there is no guard band."""
        storage = tensor.untyped_storage()
        offset, extent = self.driver.guards.guarded.get(storage.data_ptr(), (-1, -1))
        return [storage.nbytes() // tensor.element_size(), offset, extent]

    def _plain_state(self) -> Json:
        state: Json = {}
        for i, backend in enumerate(self.driver.backends):
            current = getattr(backend, "forward_metadata", None)
            state[f"backend {i}"] = {
                "forward_metadata": [
                    f"bs{key}"
                    for key, value in backend.decode_cuda_graph_metadata.items()
                    if isinstance(key, int) and value is current
                ],
                "use_mha": backend.use_mha,
                "nsa_prefill_impl": backend.nsa_prefill_impl,
            }
        return state

    def _index(self, layout: Json) -> int:
        key = json.dumps(layout, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.structures)
            self.structures.append(layout)
        return self._known[key]

    def _digest(self, tensor: torch.Tensor) -> str:
        flat = whole_storage(tensor).to("cpu")
        digest = hashlib.sha256(_bytes(flat)).hexdigest()
        if digest not in self.kept:
            self.kept[digest] = flat.clone()
        return digest


def _bytes(flat: torch.Tensor) -> memoryview:
    size = flat.numel() * flat.element_size()
    if size == 0:
        return memoryview(b"")
    return memoryview((ctypes.c_char * size).from_address(flat.data_ptr()))


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _state(backend: Any) -> tuple[str, Any]:
    return "", backend.decode_cuda_graph_metadata
