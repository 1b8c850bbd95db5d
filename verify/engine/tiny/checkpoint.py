"""Writes tiny as a folder that sglang loads: config.json and model.safetensors."""

from __future__ import annotations

import json
import math
import random
import struct
from pathlib import Path
from typing import Any

from verify.engine.tiny.config import CONFIG, LAYERS
from verify.engine.tiny.weights import Weight, tensors


def write(folder: Path, seed: int = 0, layers: int = LAYERS) -> Path:
    """Write config.json and model.safetensors; returns `folder`.

    layers: of the target; those beyond `LAYERS` work as hard and say nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**CONFIG, "num_hidden_layers": layers}, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    weights = list(tensors(random.Random(seed), layers))
    _safetensors(folder / "model.safetensors", weights)
    return folder


def _safetensors(file: Path, weights: list[Weight]) -> None:
    """The header's length, the header, the bytes; zeros are left to the file system."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape, _ in weights:
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        first = out.tell()
        for name, _, rows in weights:
            start, _ = header[name]["data_offsets"]
            if rows is not None:
                out.seek(first + start)
                out.writelines(rows)
        out.truncate(first + end)
