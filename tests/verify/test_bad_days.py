"""A worker that raises, crashes, hangs or is killed is a report, never a pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.test_verdicts import BACKEND, DECODE

pytestmark = pytest.mark.tree
Run = Callable[..., tuple[int, str, str]]


def spoil(tree: Path, code: str) -> None:
    """Put `code` first in `_precompute_decode_mode` of the tree."""
    file = tree / BACKEND
    text = file.read_text()
    body = '        """One query token a request'
    assert text.count(body) == 1
    file.write_text(
        text.replace(body, f"        import os, time, torch\n        {code}\n{body}")
    )


def verify(run: Run, tree: Path, *more: object) -> tuple[int, str]:
    code, out, err = run(
        tree, "--device", "cpu", "--route", "precomputed", "--scenario", DECODE, *more
    )
    assert "Traceback" not in out + err
    return code, out


@pytest.mark.parametrize(
    ("spoiled", "exit_code", "said"),
    [
        ("raise IndexError('row 9')", 1, "old no exception, new IndexError: row 9: raised"),
        ("os.kill(os.getpid(), 11)", 1, "the worker ended with SIGSEGV"),
        ("os.kill(os.getpid(), 11)", 1, "in _precompute_decode_mode"),
        (
            "os.kill(os.getpid(), 9)", 4,
            "killed on the candidate: the worker was killed (SIGKILL",
        ),
        (
            "raise torch.OutOfMemoryError('tried to allocate 1 PiB')", 4,
            "memory on the candidate: OutOfMemoryError: tried to allocate",
        ),
        (
            "raise RuntimeError('Triton Error [CUDA]: out of memory')", 4,
            "2 of 2 cases gave no verdict (2 out of memory), ",
        ),
    ],
)  # fmt: skip
def test_what_ends_it_is_said(
    copy: Path, run: Run, spoiled: str, exit_code: int, said: str
) -> None:
    spoil(copy, spoiled)
    code, out = verify(run, copy)
    assert code == exit_code
    assert said in out


def test_a_crash(copy: Path, run: Run) -> None:
    spoil(copy, "print('about to go'); os._exit(7)")
    code, out = verify(run, copy)
    assert code == 1
    assert "crash on the candidate: the worker ended with exit status 7" in out
    assert "about to go" in out
    assert f"--scenario {DECODE}" in out


def test_a_hang(copy: Path, run: Run) -> None:
    spoil(copy, "time.sleep(60)")
    code, out = verify(run, copy, "--timeout", "6")
    assert code == 1
    assert "timeout on the candidate: no answer within 6 s; killed" in out
    assert "in _precompute_decode_mode" in out, "where it hangs"


def test_a_hang_at_import_is_tried_three_times(copy: Path, run: Run) -> None:
    file = copy / BACKEND
    file.write_text(file.read_text() + "\nimport time\ntime.sleep(60)\n")
    code, out, _ = run(
        copy, "--device", "cpu", "--timeout", "5", "--route", "precomputed",
        *(f"--scenario={DECODE.replace('n4', f'n{n}')}" for n in (1, 2, 3)),
    )  # fmt: skip
    assert code == 1
    assert "3 cases, " in out
    assert "nsa_backend.py" in out, "where it hangs"
    assert "its worker died 3 times" in out


def test_a_child_that_keeps_stdout_open_does_not_keep_us(copy: Path, run: Run) -> None:
    spoil(
        copy,
        "os.fork() or (os.setsid(), time.sleep(20), os._exit(0)); os._exit(7)",
    )
    began = time.monotonic()
    code, out = verify(run, copy)
    assert code == 1
    assert "the worker ended with exit status 7" in out
    assert time.monotonic() - began < 60


def test_an_answer_that_is_not_one(copy: Path, run: Run) -> None:
    spoil(copy, "[os.write(fd, b'[1]\\n') for fd in range(3, 9) if _writable(fd)]")
    file = copy / BACKEND
    file.write_text(
        file.read_text() + "\ndef _writable(fd):\n    import fcntl\n    try:\n"
        "        return fcntl.fcntl(fd, fcntl.F_GETFL) & 1\n"
        "    except OSError:\n        return False\n"
    )
    code, out = verify(run, copy)
    assert code == 1
    assert "the worker's answer cannot be read: '[1]" in out


def test_a_baseline_that_breaks_is_no_verdict(
    copy: Path, applied: Path, run: Run
) -> None:
    (copy / BACKEND).write_text("raise RuntimeError('half written')\n")
    code, out, _ = run(
        applied, "--device", "cpu", "--baseline", copy, "--route", "precomputed",
        "--scenario", DECODE,
    )  # fmt: skip
    assert code == 4
    assert "raised on the baseline: RuntimeError: half written" in out


def test_a_tree_that_prints_does_not_disturb_the_answers(copy: Path, run: Run) -> None:
    spoil(copy, "print('{\"ok\": true}'); os.write(1, b'noise\\n')")
    code, out = verify(run, copy)
    assert code == 0, out


def test_after_three_deaths_the_rest_is_not_run(copy: Path, run: Run) -> None:
    spoil(copy, "os._exit(7)")
    code, out = verify(run, copy, "--scenario", DECODE.replace("n4", "n2"))
    assert code == 1
    assert "its worker died 3 times" in out


def test_the_workers_interpreter(copy: Path, run: Run) -> None:
    code, out = verify(run, copy, "--python", sys.executable)
    assert code == 0, out


def test_an_interpreter_without_torch(copy: Path, run: Run, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named torch' >&2\nexit 1\n")
    python.chmod(0o755)
    code, out, err = run(copy, "--python", python)
    assert (code, out) == (4, "")
    assert "cannot import torch: No module named torch" in err


def test_an_interpreter_that_is_not_there(copy: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run(copy, "--python", tmp_path / "nope")
    assert code == 4
    assert "does not start" in err


def test_an_interrupt_ends_the_workers_too(copy: Path, tmp_path: Path) -> None:
    asleep = tmp_path / "asleep"
    spoil(
        copy, f"print(os.getpid(), file=open({str(asleep)!r}, 'w', 1)); time.sleep(99)"
    )
    command = [sys.executable, "-m", "verify.cli.verify", str(copy), "--device", "cpu"]
    command += ["--route", "precomputed", "--scenario", DECODE]
    temporary = {**os.environ, "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        command,
        env=temporary,
        stderr=subprocess.DEVNULL,
        # A shell's background job, as a CI's may be, ignores interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not (asleep.exists() and asleep.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    worker = int(asleep.read_text())
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert [file.name for file in tmp_path.glob("nsa-*")] == []
