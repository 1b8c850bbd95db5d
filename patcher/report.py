"""The report of `--json`, and its schema: `python -m patcher.report` rewrites that."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, get_args

from patcher.results import SCHEMA_VERSION, Result

SCHEMA = Path(__file__).with_name("report.schema.json")


def report(result: Result) -> dict[str, Any]:
    """The result as JSON knows it; `result` names its kind."""
    head = {"schema_version": SCHEMA_VERSION, "result": type(result).__name__}
    return {**head, **dataclasses.asdict(result)}


def schema() -> dict[str, Any]:
    """The JSON schema of every kind of report."""
    from pydantic import TypeAdapter

    kinds: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for kind in get_args(Result):
        one = TypeAdapter(kind).json_schema(mode="serialization")
        shared |= one.pop("$defs", {})
        head = {
            "schema_version": {"const": SCHEMA_VERSION},
            "result": {"const": kind.__name__},
        }
        one["properties"] = head | one["properties"]
        one["required"] = list(one["properties"])
        one["additionalProperties"] = False
        kinds.append(one)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the commands of nsa-opt answer, and how each of them refuses",
        "oneOf": kinds,
        "$defs": shared,
    }


def main() -> int:
    """Rewrites the schema that ships with the package."""
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
