"""The record: what was proved of which bytes, on which machine, by which version.

`verify-nsa-opt --record FILE` writes one, `status-nsa-opt --require FILE` holds a tree
against it. Its JSON schema ships beside this file; `python -m patcher.record` rewrites that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patcher.results import SCHEMA_VERSION, Exit, Reason, Refusal
from patcher.tree.outline import sha256

SCHEMA = Path(__file__).with_name("record.schema.json")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Files = dict[str, Sha256]
"""sha256 by package-relative path (`sglang/srt/...`)."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Patched(_Model):
    """A patch that was in the tree."""

    name: str
    version: str


class Baseline(_Model):
    """What the tree was compared with, and every file of it that ran."""

    label: str
    release: str
    files: Files


class Scenarios(_Model):
    """How many cases ended how; `replays` and `bytes` were compared over all of them."""

    cases: int
    identical: int
    different: int
    broken: int
    not_run: int
    replays: int
    bytes: int


class Machine(_Model):
    """Where it ran. `logic_only`: on a CPU, which proves the logic and not the kernels.

    Versions are as the workers' interpreter says them; None where there is none.
    """

    device: Literal["cpu", "cuda"]
    name: str
    logic_only: bool
    driver: str | None
    cuda: str | None
    python: str
    torch: str
    triton: str | None
    platform: str


class Record(_Model):
    """One verification, as evidence.

    tool       version of nsa-opt that ran it
    release    of sglang, by the hashes of the files that no patch changes
    patches    in the tree, with their versions
    files      every file that the candidate ran or that a patch changed or added
    gates      every setting of the gate variables that ran; `{}` is none of them set
    verdict    "identical" only where every case that ran was, and some did
    not_run    what was left out, in words
    started    UTC, ISO 8601; seconds is the time that it took
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    tool: str
    release: str
    patches: tuple[Patched, ...]
    files: Files
    baseline: Baseline
    gates: tuple[dict[str, str], ...]
    verdict: Literal["identical", "different", "unverified"]
    scenarios: Scenarios
    seed: int
    not_run: tuple[str, ...] = ()
    machine: Machine
    command: str
    started: str
    seconds: float


def dump(record: Record) -> str:
    """The record as JSON."""
    return record.model_dump_json(indent=1) + "\n"


def load(path: Path) -> Record:
    """The record in a file. Raises `Refusal`: usage (no record), or it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise Refusal(Reason(str(path), "", what), code=Exit.UNAVAILABLE) from error
    except UnicodeDecodeError as error:
        raise _no_record(path, "it is not UTF-8") from error
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _no_record(
            path, f"{place + ': ' if place else ''}{first['msg']}"
        ) from None


def _no_record(path: Path, why: str) -> Refusal:
    what = f"is no record that this version reads: {why}"
    hint = "verify-nsa-opt TREE --record FILE writes one"
    return Refusal(Reason(str(path), "", what, hint), code=Exit.USAGE)


def unmet(
    record: Record, read: Callable[[str], bytes | None], changed: set[str]
) -> tuple[str, ...]:
    """Why the record does not speak for a tree, a line each; none if it does.

    `read` gives a package-relative file's bytes; `changed` are the files that patches
    changed or added there, which have to be among the proved ones.
    """
    found = []
    if record.verdict != "identical":
        found.append(f"the record's verdict is `{record.verdict}`")
    for path, digest in sorted(record.files.items()):
        data = read(path)
        if data is None:
            found.append(f"{path}: is not in the tree")
        elif sha256(data) != digest:
            found.append(f"{path}: other bytes than the proved ones")
    found += [
        f"{path}: was not part of the proof"
        for path in sorted(changed - set(record.files))
    ]
    return tuple(found)


def schema() -> dict[str, object]:
    """The JSON schema of a record."""
    made = Record.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def main() -> int:
    """Rewrites the schema that ships with the package."""
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
