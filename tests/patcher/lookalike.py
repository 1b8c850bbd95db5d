"""Small made-up trees, releases and patches; nothing here is sglang's text."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from patcher.about import About
from patcher.recipe import Patch
from patcher.steps import AddDefinitions, AddEnvFlag, AddModule, PrependToBody
from patcher.tree import add_release
from patcher.tree.find import Tree

BACKEND = "sglang/srt/layers/attention/nsa_backend.py"
ENVIRON = "sglang/srt/environ.py"
RUNNER = "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py"
VERSION = "sglang/version.py"
NEW_BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
KERNEL = "sglang/srt/layers/attention/nsa/kernel.py"

FILES = {
    BACKEND: '''\
from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy

from sglang.srt.environ import envs


@dataclass
class Metadata:
    lens: List[int]


class Backend:
    def __init__(self, size):
        self.size = size

    def replay(self, lens):
        """Fill the metadata."""
        total = sum(lens)
        # The longest row.
        longest = max(lens)
        return Metadata([total, longest])

    def forward(self, rows):
        return numpy.asarray(rows)


class MultiStepBackend:
    backends: List[Backend]
''',
    ENVIRON: """\
class EnvBool:
    def __init__(self, default):
        self.default = default


class Envs:
    # fmt: off

    # Logging
    LOG_STEPS = EnvBool(False)

    # fmt: on


envs = Envs()
""",
    RUNNER: """\
class Runner:
    def capture(self, size):
        def run_once():
            prepared = size + 1
            return self.draft(prepared)

        return run_once
""",
    VERSION: '__version__ = "1.0"\n',
    # What no patch touches: a tree is known by most of its files.
    **{
        f"sglang/{name}.py": f"NAME = '{name}'\n"
        for name in (
            "srt/layers/attention/base_attn_backend",
            "srt/layers/attention/triton_ops/dsa_metadata",
            "srt/model_executor/forward_batch_info",
            "kernels/ops/attention/dsa_metadata",
        )
    },
    "sglang/__init__.py": "",
}

PAYLOAD = Path(__file__).with_name("payload")


@cache
def patches() -> tuple[Patch, ...]:
    """`once`, then `fast` and `wide`, which require it or stand alone."""
    backend = PAYLOAD / "backend.py"
    return (
        _patch("once", AddDefinitions(BACKEND, "Metadata", backend, ("Extra",))),
        _patch(
            "fast",
            AddEnvFlag(ENVIRON, "Envs", "FAST", True, "Speed"),
            AddModule(KERNEL, PAYLOAD / "kernel.py"),
            PrependToBody(BACKEND, "Backend.replay", backend, "Dispatch.replay"),
            requires=("once",),
        ),
        _patch(
            "wide",
            AddEnvFlag(ENVIRON, "Envs", "WIDE", True, "Speed"),
            PrependToBody(BACKEND, "Backend.forward", backend, "Dispatch.forward"),
            unfit={"0.9": "rows are narrow there"},
        ),
    )


def _patch(name: str, *steps: Any, **more: Any) -> Patch:
    return Patch(About(name, "1", f"Make it {name}.", "tests", "GATE", **more), steps)


def pins_data() -> dict[str, Any]:
    """`pins.json` of made-up releases: 0.9 and 1.0 of family A, 0.8 too old, 2.0 of C."""
    data: dict[str, Any] = add_release.EMPTY
    old = {**FILES, VERSION: '__version__ = "0.9"\n'}
    old[BACKEND] = old[BACKEND].replace("total = sum(lens)", "total = len(lens)")
    bare = {VERSION: '__version__ = "0.8"\n', BACKEND: "class Backend: ...\n"}
    new = {VERSION: '__version__ = "2.0"\n', NEW_BACKEND: "class NewBackend: ...\n"}
    with tempfile.TemporaryDirectory() as folder:
        for release, files in (
            ("0.8", bare),
            ("0.9", old),
            ("1.0", FILES),
            ("2.0", new),
        ):
            wheel = write_wheel(Path(folder), release, files)
            data = add_release.with_release(data, wheel)
    return data


def write_wheel(folder: Path, release: str, files: dict[str, str]) -> Path:
    """A release's wheel, the same bytes whenever it is made."""
    wheel = folder / f"sglang-{release}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = 0o644 << 16
            archive.writestr(member, text)
    return wheel


def write_tree(home: Path, files: dict[str, str] = FILES) -> Tree:
    """A tree of these files, some of them with unusual modes."""
    for rel, text in files.items():
        path = home / rel
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (home / "sglang/srt/layers/attention/nsa").mkdir(parents=True, exist_ok=True)
    if ENVIRON in files:
        (home / ENVIRON).chmod(0o640)
    return Tree(home.resolve(), "wheel")


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's hash and mode, every folder, every link: what must come back."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        data = path.read_bytes() if path.is_file() else b"folder"
        digest = hashlib.sha256(data).hexdigest()
        found[str(path.relative_to(folder))] = (digest, path.lstat().st_mode)
    return found
