"""What the manifest and the journal have in common: safe paths and packed bytes."""

from __future__ import annotations

import base64
import binascii
import json
import stat
import zlib
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)

from patcher import __version__
from patcher.results import Exit, Reason, Refusal
from patcher.tree.find import STATE, Tree

_LARGEST = 32 * 1024 * 1024


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpack(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("is not text")
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(base64.b64decode(value, validate=True), _LARGEST)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    if not inflate.eof:
        raise ValueError("is cut off, or too large")
    return data


def _safe(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or "\0" in path or "\\" in path:
        raise ValueError("is not a plain path")
    if parts[0] != "sglang" or ".." in parts or len(parts) < 2:
        raise ValueError("leaves the package")
    return path


Packed = Annotated[bytes, PlainValidator(_unpack), PlainSerializer(_pack)]
"""Bytes; in JSON compressed and in base64."""

SafePath = Annotated[str, AfterValidator(_safe)]
"""A posix path below `sglang/`."""

Mode = Annotated[int, Field(ge=0, le=0o777)]


class Stored(BaseModel):
    """A frozen record that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_R = TypeVar("_R", bound=Stored)


def load(tree: Tree, name: str, kind: type[_R]) -> _R | None:
    """The record in the state folder; None when there is none. Raises `Refusal`."""
    file = f"{STATE}/{name}"
    try:
        guard(tree, file)
        path = tree.path(file)
        if path.stat().st_size > 2 * _LARGEST:
            raise ValueError("is too large")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        hint = "run this as the user who applied, or let this one read the folder"
        raise Refusal(Reason(file, "", what, hint), code=Exit.UNAVAILABLE) from error
    except ValueError as error:
        raise Refusal(Reason(file, "", str(error), _KEEP)) from error
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        _require_own(file, data)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"is damaged: {place + ': ' if place else ''}{first['msg']}"
        raise Refusal(Reason(file, "", what, _KEEP)) from error


_KEEP = (
    "keep it, the originals are in it; restore the package (git checkout, or reinstall "
    f"the release), then move {STATE} out of the tree"
)


def _require_own(file: str, data: bytes) -> None:
    """Raises `Refusal` when what cannot be read was written by another nsa-opt."""
    try:
        tool = json.loads(data)["tool"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(tool, str) and tool != __version__:
        what = f"was made by nsa-opt {tool}, which this version cannot read"
        raise Refusal(Reason(file, "", what, f"use nsa-opt {tool} for this tree"))


def dump(record: Stored) -> bytes:
    """The record as JSON."""
    return record.model_dump_json(indent=1).encode() + b"\n"


def guard(tree: Tree, rel: str) -> None:
    """Raises `Refusal` when the path goes through a symlink, or is not a file."""
    path = Path(tree.home)
    for part in PurePosixPath(rel).parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISLNK(mode):
            hint = "give the directory that it points to"
            raise Refusal(Reason(rel, "", f"{path} is a symbolic link", hint))
    if not stat.S_ISREG(mode):
        raise Refusal(Reason(rel, "", "is not a regular file"))
