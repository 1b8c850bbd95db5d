"""Which releases the tests of real trees take: one of those that are alike."""

from __future__ import annotations

import os
from collections.abc import Iterator

from patcher.tree.pins import PINNED, Pin, outline, pins

_BACKENDS = (PINNED[0], PINNED[2])
_REPLAYED = (
    "init_forward_metadata_replay_cuda_graph",
    "init_forward_metadata_replay_cuda_graph_from_precomputed",
    "_apply_cuda_graph_metadata",
)


def group(pin: Pin) -> tuple[object, ...]:
    """What the patches edit and repeat: the multi-step class, and a backend's replay."""
    return (pin.family, *_lines(pin))


def _lines(pin: Pin) -> Iterator[tuple[str, tuple[str, ...]]]:
    for file in _BACKENDS:
        known = outline(pin.files.get(file, ""))
        for name, (start, end) in known.symbols.items() if known else ():
            cls, _, method = name.partition(".")
            if cls.endswith("MultiStepBackend") or method in _REPLAYED:
                yield name, known.lines[start - 1 : end] if known else ()


def one_of_each() -> list[str]:
    """The newest release of each group; all, with the variable ALL_RELEASES set."""
    patchable = [pin for pin in pins().values() if pin.patchable]
    if os.environ.get("ALL_RELEASES"):
        return [pin.release for pin in patchable]
    newest = {group(pin): pin.release for pin in patchable}
    return list(newest.values())
