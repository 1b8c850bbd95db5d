"""cuda-decode's kernel, compiled for the host, and what happens where it cannot be.

The arithmetic and the scans are the GPU's; its memory, and whether nvcc takes the source,
are not: the last is tried where there is an nvcc.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings

from tests.patches import cuda_kernel as cuda
from tests.patches.reference import Case, cases
from verify.worker.tree import compiled


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    with cuda.compiler(compiled.for_host()):
        yield cuda.kernel()


@cuda.on_host
@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_writes_its_metadata_and_nothing_else(kernel: Any, case: Case) -> None:
    cuda.decode(kernel, case)


@cuda.on_host
@pytest.mark.parametrize("bs", [1, 31, 32, 33, 127, 128, 129, 255, 256, 257, 1000])
def test_takes_any_batch_size(kernel: Any, bs: int) -> None:
    cuda.decode(kernel, Case(seq_lens=cuda.lengths(bs, 20), context=20, topk=15))


@cuda.on_host
@pytest.mark.parametrize("case", cuda.BATTERY, ids=lambda c: f"{c.bs}x{c.context}")
def test_one_block_and_many_rows_aligned_and_not(kernel: Any, case: Case) -> None:
    for zero in (False, True):
        cuda.decode(kernel, case, zero=zero)
        cuda.decode(kernel, case, cols=max(case.seq_lens), zero=zero)


@cuda.on_host
def test_no_column_past_the_callers_limit(kernel: Any) -> None:
    cuda.limited(kernel, Case(seq_lens=(130, 70), context=200, page_size=1), cols=100)


@cuda.on_host
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    __syncthreads();\n    uint32_t k_before", "    uint32_t k_before"),
        (
            "    __syncthreads();  // The next requests' totals go to the same place.",
            "",
        ),
        ("    __syncthreads();\n    longest", "    longest"),
        ("if (lane == kWarp - 1) {", "if (lane == kWarp - 1) {\n __syncthreads();"),
        ("i += 2 * step) {", "i += 4 * step) {"),
        ("const int step = gridDim.x * kThreads;", "const int step = 2 * kThreads;"),
        ("i < real_end; i += step", "i < real_end; i += 2 * step"),
        ("4 * wide + first; i < end", "4 * wide + first + 1; i < end"),
        ("value % by < 0 ? 1 : 0", "0"),
        ("static_cast<int32_t>(nsa_before + nsa_end)", "nsa_end"),
    ],
)
def test_a_planted_bug_is_caught(kernel: Any, old: str, new: str) -> None:
    assert cuda.SOURCE.count(old) == 1
    with pytest.raises(AssertionError):
        cuda.battery(cuda.kernel(cuda.SOURCE.replace(old, new)))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc here")
def test_nvcc_takes_it_without_a_warning(tmp_path: Path) -> None:
    source = cuda.PAYLOAD / f"{cuda.NAME}.cuh"
    options = ["-std=c++17", "-arch=sm_90", "-Werror=all-warnings", "-Xcompiler=-Wall"]
    (tmp_path / "kernel.cu").write_text(f'#include "{source}"\n')
    command = ["nvcc", *options, "-c", "kernel.cu", "-o", "kernel.o"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Refusing(ModuleType):
    """A compiler that there is not."""

    def __init__(self) -> None:
        super().__init__(compiled.MODULE)
        self.asked: list[tuple[Any, ...]] = []

    def load_jit(self, *names: str, **options: Any) -> Any:
        self.asked.append(names)
        raise RuntimeError("Could not find CUDA installation" + " and more" * 1000)


def test_no_compiler_is_asked_once_and_said_so_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusing = Refusing()
    with cuda.compiler(refusing):
        module = cuda.unloaded()
        for _ in range(3):
            module.load_decode_metadata_kernel()
            assert not module.has_decode_metadata_kernel()
    assert len(refusing.asked) == 1
    (record,) = (r for r in caplog.records if r.levelname == "WARNING")
    assert "Could not find CUDA installation" in record.getMessage()
    assert len(record.getMessage()) < 500
    assert "\n" not in record.getMessage()


def test_a_release_without_a_compiler_takes_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def load_inline(name: str, **options: Any) -> Any:
        given.update(options, name=name)
        return SimpleNamespace(decode_metadata_kernel=len)

    monkeypatch.setattr("torch.utils.cpp_extension.load_inline", load_inline)
    with cuda.compiler(ModuleType(compiled.MODULE)):
        module = cuda.unloaded()
        module.load_decode_metadata_kernel()
    assert module.has_decode_metadata_kernel()
    (binding,) = given["cuda_sources"]
    assert f'#include "{Path(module.__file__).with_suffix(".cuh")}"' in binding
    assert "&nsa_metadata::launch_decode_metadata" in binding


def test_neither_compiler_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load_inline(name: str, **options: Any) -> Any:
        raise PermissionError("read-only file system")

    monkeypatch.setattr("torch.utils.cpp_extension.load_inline", load_inline)
    with cuda.compiler(ModuleType(compiled.MODULE)):
        module = cuda.unloaded()
        module.load_decode_metadata_kernel()
    assert not module.has_decode_metadata_kernel()
    assert "read-only file system" in caplog.text


@pytest.mark.skipif(cuda.DEVICE != "cpu", reason="stands in for a launch")
def test_a_launch_that_fails_is_the_last(caplog: pytest.LogCaptureFixture) -> None:
    launched = []

    def launch(*args: int) -> int:
        launched.append(args)
        return 719

    compiler = ModuleType(compiled.MODULE)
    vars(compiler)["load_jit"] = lambda *names, **options: SimpleNamespace(
        decode_metadata_kernel=launch
    )
    with cuda.compiler(compiler):
        module = cuda.kernel()
        for _ in range(3):
            with pytest.raises(AssertionError):
                cuda.decode(module, cuda.BATTERY[0])
        module.load_decode_metadata_kernel()
    assert len(launched) == 1
    assert "719" in caplog.text


def test_what_is_compiled_is_kept_by_its_content() -> None:
    refusing = Refusing()
    with cuda.compiler(refusing):
        for source in (cuda.SOURCE, cuda.SOURCE, cuda.SOURCE + "\n"):
            cuda.unloaded(source).load_decode_metadata_kernel()
    first, again, other = refusing.asked
    assert first == again != other
