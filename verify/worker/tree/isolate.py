"""Imports a tree's NSA modules for real and everything else it asks for as stubs.

The real modules lie in a snapshot folder (`<snapshot>/sglang/srt/...`); `ForwardMode`
is lifted by its syntax from the tree's own forward_batch_info.py. Nothing else of
the tree is executed, and a bare machine with torch alone will do.
"""

from __future__ import annotations

import ast
import enum
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.tree import compiled
from verify.worker.tree.stubs import Record, StubModule

STUBBED = (
    "sglang",
    "sgl_kernel",
    "flash_mla",
    "flashinfer",
    "aiter",
    "transformers",
    "deep_gemm",
    "tqdm",  # a bare machine lacks it
)
FORWARD_BATCH = "sglang.srt.model_executor.forward_batch_info"


class Isolated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves real modules from the snapshot, stand-ins by name, stubs for the rest.

    `standins` are whole modules; `overrides` are attributes of stubs. `blocked`
    top-level packages fail to import; "triton.compile" lets no kernel compile, and
    "cuda.compile" nothing that the tree compiles. `stubbed` collects what was stubbed.
    `kernels` are real modules that go first, or why one cannot; `asked` those in use.
    """

    def __init__(
        self,
        snapshot: Path,
        standins: dict[str, ModuleType],
        overrides: dict[str, dict[str, Any]],
        blocked: Sequence[str] = (),
        on_cpu: bool = True,
    ) -> None:
        self.snapshot = snapshot
        self.standins = standins
        self.overrides = overrides
        self.blocked = frozenset(blocked)
        self.on_cpu = on_cpu
        self.stubbed: list[str] = []
        self.stood_in: list[str] = []
        self.real: dict[str, Path] = {}
        self.kernels: dict[str, ModuleType | str] = {}
        self.asked: list[str] = []

    def install(self) -> None:
        """Go first on sys.meta_path; modules already loaded stay.

        Not so blocked ones: a CUDA build of torch has imported Triton by now.
        """
        for name in list(sys.modules):
            if name.partition(".")[0] in self.blocked:
                sys.modules[name] = None  # type: ignore[assignment]
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = fullname.partition(".")[0]
        if top in self.blocked:
            raise ModuleNotFoundError(f"{fullname} is blocked here", name=fullname)
        if top not in STUBBED:
            return None
        if fullname in self.standins or isinstance(
            self.kernels.get(fullname), ModuleType
        ):
            return self._spec(fullname)
        if any(
            fullname.startswith(f"{name}.") and isinstance(kernel, ModuleType)
            for name, kernel in self.kernels.items()
        ):
            return None  # its own modules, imported late
        if self.is_real(fullname):
            file = self._file(fullname)
            self.real[fullname] = file
            if "triton" not in self.blocked and b"import triton" in file.read_bytes():
                _count_launches()
                if "triton.compile" in self.blocked:
                    EVIDENCE.refuse_kernels()
            refuses = compiled.BLOCKED in self.blocked
            loader = _Loader(fullname, str(file), self.on_cpu, refuses)
            return importlib.util.spec_from_loader(fullname, loader)
        if fullname == compiled.MODULE:
            # A placeholder would compile anything.
            raise ModuleNotFoundError(f"{fullname} is not in the tree", name=fullname)
        self.stubbed.append(fullname)
        return self._spec(fullname)

    def is_real(self, fullname: str) -> bool:
        """Whether the snapshot has this module (ForwardMode's file is only read)."""
        return fullname != FORWARD_BATCH and self._file(fullname).is_file()

    def _file(self, fullname: str) -> Path:
        """A module's, or a package's where the snapshot has that."""
        place = self.snapshot / fullname.replace(".", "/")
        package = place / "__init__.py"
        return package if package.is_file() else place.with_name(f"{place.name}.py")

    def _spec(self, fullname: str) -> importlib.machinery.ModuleSpec:
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        kernel = self.kernels.get(spec.name)
        if isinstance(kernel, ModuleType):
            self.asked.append(spec.name)
            return kernel
        if spec.name in self.standins:
            if spec.name != FORWARD_BATCH:
                self.stood_in.append(spec.name)
            if spec.name == compiled.MODULE:
                compiled.watch(
                    self.standins[spec.name], compiled.BLOCKED in self.blocked
                )
            return self.standins[spec.name]
        return StubModule(spec.name, self.overrides.get(spec.name, {}), self.is_real)

    def exec_module(self, module: ModuleType) -> None:
        """A stub has no code to run."""


class Installed(Isolated):
    """The installed sglang with its real kernels; only the snapshot's modules differ."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        blocked = fullname.partition(".")[0] in self.blocked
        if not blocked and not self.is_real(fullname):
            return None
        return super().find_spec(fullname, path, target)

    def rebind(self, module: ModuleType) -> None:
        """Give a module that was imported for real the answers of a single process."""
        for answers in self.overrides.values():
            for name, value in answers.items():
                if name in vars(module):
                    setattr(module, name, value)


class _Loader(importlib.machinery.SourceFileLoader):
    """A tree's module as it is; on a CPU without asserts where it asserts CUDA (0.5.4)."""

    def __init__(self, fullname: str, path: str, on_cpu: bool, refuses: bool) -> None:
        super().__init__(fullname, path)
        self.on_cpu = on_cpu
        self.refuses = refuses

    def exec_module(self, module: ModuleType) -> None:
        compiled.watch_torch(Path(self.path).read_bytes(), self.refuses)
        with EVIDENCE.during("import"):
            super().exec_module(module)
        if self.name == compiled.MODULE:
            compiled.watch(module, self.refuses)

    def source_to_code(  # type: ignore[override]
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> Any:
        asserts_cuda = re.search(rb"^ *assert .*\.is_cuda\b", data, re.MULTILINE)
        level = 1 if self.on_cpu and asserts_cuda else _optimize
        return compile(data, path, "exec", dont_inherit=True, optimize=level)


def _count_launches() -> None:
    """Before the first kernel module is executed, so that no launch goes unseen."""
    try:
        importlib.import_module("triton")
    except ImportError:
        return
    EVIDENCE.watch_kernels()


def forward_batch_info(snapshot: Path) -> ModuleType:
    """`ForwardMode` as the tree defines it, and records for the rest."""
    file = snapshot / (FORWARD_BATCH.replace(".", "/") + ".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    module = StubModule(FORWARD_BATCH, {"ForwardBatch": Record})
    namespace: dict[str, Any] = {
        "__name__": FORWARD_BATCH,
        **{name: getattr(enum, name) for name in ("IntEnum", "Enum", "auto")},
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "ForwardMode":
            future = ast.parse("from __future__ import annotations").body
            code = ast.Module(body=[*future, node], type_ignores=[])
            exec(compile(code, str(file), "exec"), namespace)
            module.__dict__[node.name] = namespace[node.name]
    if "ForwardMode" not in module.__dict__:
        raise ImportError(f"{file} does not define ForwardMode")
    return module
