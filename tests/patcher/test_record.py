from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from patcher import record
from patcher.record import Record, unmet
from patcher.results import Exit, Refusal
from patcher.tree.outline import sha256

FILES = {"sglang/a.py": b"a = 1\n", "sglang/b.py": b"b = 2\n"}
HASHES = {path: sha256(data) for path, data in FILES.items()}
GOOD: dict[str, Any] = {
    "schema_version": 1,
    "tool": "1.0",
    "release": "0.5.6.post2",
    "patches": [{"name": "in-graph", "version": "1"}],
    "files": HASHES,
    "baseline": {"label": "the originals", "release": "0.5.6.post2", "files": HASHES},
    "gates": [{}, {"SGLANG_NSA_METADATA_IN_GRAPH": "0"}],
    "verdict": "identical",
    "scenarios": {
        "cases": 3,
        "identical": 2,
        "different": 0,
        "broken": 0,
        "not_run": 1,
        "replays": 9,
        "bytes": 4096,
    },
    "seed": 0,
    "not_run": ["fp8"],
    "machine": {
        "device": "cuda",
        "name": "NVIDIA H200",
        "logic_only": False,
        "driver": "580.1",
        "cuda": "13.0",
        "python": "3.12.1",
        "torch": "2.11",
        "triton": "3.6",
        "platform": "Linux-x86_64",
    },
    "command": "verify-nsa-opt TREE --record FILE",
    "started": "2026-01-01T00:00:00+00:00",
    "seconds": 12.5,
}


def changed(**fields: Any) -> Record:
    return Record.model_validate({**GOOD, **fields})


def test_the_schema_that_ships_is_the_schema() -> None:
    assert json.loads(record.SCHEMA.read_text()) == record.schema()


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(record.dump(changed()))
    jsonschema.validate(json.loads(file.read_text()), record.schema())
    assert record.load(file) == changed()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "tool: Field required"),
        (b"[", "Invalid JSON"),
        (b"\xff", "it is not UTF-8"),
        (json.dumps({**GOOD, "files": {"sglang/a.py": "x"}}).encode(), "files.sglang"),
        (json.dumps({**GOOD, "schema_version": 99}).encode(), "schema_version"),
    ],
)
def test_what_is_no_record_is_a_usage_error(
    tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(content)
    with pytest.raises(Refusal, match=says) as refusal:
        record.load(file)
    assert refusal.value.code == Exit.USAGE


def test_a_record_that_cannot_be_read_is_the_environment(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="cannot be read") as refusal:
        record.load(tmp_path / "none.json")
    assert refusal.value.code == Exit.UNAVAILABLE


def test_a_record_speaks_for_these_very_bytes() -> None:
    assert unmet(changed(), FILES.get, {"sglang/a.py"}) == ()


@pytest.mark.parametrize(
    ("fields", "files", "patched", "says"),
    [
        ({"verdict": "different"}, {}, set(), "the record's verdict is `different`"),
        ({"verdict": "unverified"}, {}, set(), "the record's verdict is `unverified`"),
        ({}, {"sglang/b.py": b"b = 3\n"}, set(), "sglang/b.py: other bytes than"),
        ({}, {"sglang/b.py": None}, set(), "sglang/b.py: is not in the tree"),
        ({}, {}, {"sglang/c.py"}, "sglang/c.py: was not part of the proof"),
    ],
)
def test_a_record_does_not_speak_for_anything_else(
    fields: dict[str, Any],
    files: dict[str, bytes | None],
    patched: set[str],
    says: str,
) -> None:
    tree = {**FILES, **files}
    (line,) = unmet(changed(**fields), tree.get, patched)
    assert line.startswith(says)
