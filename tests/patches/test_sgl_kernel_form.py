"""cuda-decode as a part of sgl-kernel: the pieces fit each other and the tree's function."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from patches import HERE

FORM = HERE / "cuda_decode" / "sgl-kernel"
DIFFS = sorted(FORM.glob("*.diff"))
NAME = "precompute_decode_metadata_cuda"


def parameters(code: str) -> list[str]:
    """The names between the brackets after the first use of the function's name."""
    inside = code.split(f"{NAME}(", 1)[1].split(")", 1)[0]
    words = re.sub(r'//.*|"|\s+', " ", inside)
    return [re.split(r"[:\s]", p.strip())[-1] for p in words.split(",") if p.strip()]


def added(name: str) -> str:
    lines = (FORM / name).read_text().splitlines()
    return "\n".join(line[1:] for line in lines if re.match(r"\+(?!\+\+)", line))


def of_the_tree() -> list[str]:
    payload = HERE / "cuda_decode" / "payload" / "cuda_metadata_kernel.py"
    functions = [
        node
        for node in ast.parse(payload.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == NAME
    ]
    names = [argument.arg for argument in functions[0].args.args]
    assert names.pop() == "leading_zero"
    return names


@pytest.mark.parametrize("diff", DIFFS, ids=lambda d: d.name)
def test_a_diff_says_what_it_is_against_and_its_hunks_add_up(diff: Path) -> None:
    head, *lines = diff.read_text().splitlines()
    assert re.search(r"stored at [0-9a-f]{40}$", head)
    hunks = 0
    while lines:
        line = lines.pop(0)
        if found := re.match(r"@@ -(\d+),(\d+) \+\1,(\d+) @@", line):
            hunks += 1
            old, new = int(found[2]), int(found[3])
            while old or new:
                kind = (lines.pop(0) or " ")[0]
                old -= kind in " -"
                new -= kind in " +"
            assert (old, new) == (0, 0)
        else:
            assert line.startswith(("--- a/sgl-kernel/", "+++ b/sgl-kernel/")), line
    assert hunks


def test_all_four_pieces_and_the_source_name_the_same_parameters() -> None:
    wanted = of_the_tree()
    source = next(FORM.rglob("*.cu")).read_text()
    for code in (source, added("common_extension.diff"), added("sgl_kernel_ops.diff")):
        assert parameters(code) == wanted
    (function,) = ast.parse(added("python.diff").split("\n", 1)[1]).body
    assert isinstance(function, ast.FunctionDef)
    assert [argument.arg for argument in function.args.args] == wanted


def test_cmake_names_the_source_that_is_here() -> None:
    (line,) = added("CMakeLists.diff").split()
    assert (FORM / line.strip('"')).is_file()
