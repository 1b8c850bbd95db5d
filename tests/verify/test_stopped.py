"""A verification that is stopped shows what it has judged, and is never a verdict."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest

from tests.verify.conftest import Run
from tests.verify.schemas import validate
from tests.verify.test_verdicts import BACKEND, DECODE, VERIFY, edit
from verify import verify as command
from verify.cases import fuzz, launches
from verify.outcome import Case
from verify.report.model import Incomplete, Report
from verify.sides.stop import Ended, Stoppable

tree = pytest.mark.tree
PLANTED = ("metadata.cu_seqlens_k[1:],", "metadata.cu_seqlens_k[1:].clone(),")


def hangs_in_target_verify(tree: Path, note: Path) -> None:
    """The worker writes its pid into `note` and sleeps."""
    body = '        """All draft tokens of a request, each seeing one token more'
    file = tree / BACKEND
    text = file.read_text()
    assert text.count(body) == 1
    code = f"import os, time; print(os.getpid(), file=open({str(note)!r}, 'a', 1)); time.sleep(99)"
    file.write_text(text.replace(body, f"        {code}\n{body}"))


@contextlib.contextmanager
def started(tree: Path, folder: Path, *more: object) -> Iterator[subprocess.Popen[str]]:
    """verify-nsa-opt as a process, whose temporary files are in `folder`."""
    line = [sys.executable, "-m", "verify.cli.verify", str(tree), "--device", "cpu"]
    with subprocess.Popen(
        [*line, "--route", "precomputed", *map(str, more)],
        env={**os.environ, "TMPDIR": str(folder), "NSA_OPT_CACHE": str(folder / "c")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as a CI's may be, ignores interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def asleep(note: Path) -> int:
    """The worker's pid, once it sleeps: what comes before is judged by then."""
    until = time.monotonic() + 60
    while not (note.exists() and note.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.1)
    return int(note.read_text())


def interrupts(main: int | None = threading.main_thread().ident) -> None:
    """As timeout(1) does, from whatever thread; a background job ignores Ctrl-C."""
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)


@tree
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_what_was_judged_is_reported_in_every_format(
    copy: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    note, out = tmp_path / "asleep", tmp_path / "out"
    record = tmp_path / "record.json"
    edit(copy, *PLANTED)
    hangs_in_target_verify(copy, note)
    asked = ("--scenario", DECODE, "--scenario", VERIFY)
    with started(
        copy, tmp_path, *asked, "--report", out, "--record", record
    ) as running:
        worker = asleep(note)
        for _ in range(2):  # as timeout(1) does
            running.send_signal(sent)
            time.sleep(0.01)
        said, complained = running.communicate(timeout=30)
    assert running.returncode == 130
    lines = said.splitlines()
    summary = "incomplete, 2 of 6 cases: 2 of 2 differ; there is no verdict, in "
    assert lines[-1].startswith(summary)
    assert "identical: " not in said
    assert any("cu_seqlens_k of backend 0" in line for line in lines), said
    assert "no record is written of an incomplete run" in complained
    assert "Traceback" not in complained
    assert not record.exists()

    text = (out / "report.json").read_text()
    validate(text, Report)
    found = Report.model_validate_json(text)
    assert (found.verdict, found.exit_code) == ("unverified", 130)
    assert found.incomplete == Incomplete(done=2, of=6)
    assert found.totals.broken == 0, "what was cut off is no finding"
    assert "4 cases that would have come after it was stopped" in found.not_run
    assert any(note.startswith("stand-ins: ") for note in found.notes)
    assert "Stopped: no verdict" in (out / "report.html").read_text()
    root = xml.fromstring((out / "junit.xml").read_text())
    assert len(root.findall(".//error")) == 1

    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert [file.name for file in tmp_path.glob("nsa-*")] == []


@tree
def test_with_nothing_judged_there_is_nothing_to_report(
    copy: Path, tmp_path: Path
) -> None:
    note, file = tmp_path / "asleep", tmp_path / "report.json"
    hangs_in_target_verify(copy, note)
    with started(copy, tmp_path, "--scenario", VERIFY, "--json", file) as running:
        asleep(note)
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=30)
    assert (running.returncode, said) == (130, "")
    assert complained.endswith("interrupted: there is no verdict\n")
    assert not file.exists()


@tree
def test_a_drawn_run_keeps_its_cases_and_saves_no_innocent_one(
    applied: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(command, "Progress", progress(after=5))
    # One worker at a time: that of the second route is never started.
    routes = "original,precomputed"
    code, out, err = run(
        applied, "--device", "cpu", "--route", routes, "--cases", "9999"
    )
    assert code == 130, out + err
    assert out.splitlines()[-1].startswith("incomplete, "), err
    assert " cases: 0 of " in out.splitlines()[-1]
    assert "all that would have come after it was stopped" in out
    assert not (tmp_path / "failures").exists()


@tree
def test_a_drawn_failure_found_before_is_shown_and_tried_again(
    copy: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(copy, *PLANTED)
    monkeypatch.setattr(fuzz, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(command, "Progress", progress(after=1, failed=True))
    code, out, _ = run(
        copy, "--device", "cpu", "--route", "precomputed", "--cases", "9999"
    )
    assert code == 130
    assert " 1 of " in out.splitlines()[-1]
    assert "cu_seqlens_k of backend" in out
    (file,) = (tmp_path / "failures").iterdir()
    assert file.read_text().startswith("decode")


@tree
def test_stopped_while_launches_are_counted_it_keeps_the_cases(
    applied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(setup: object, routes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launches, "count", count)
    whole = command._run

    def counted(*asked: Any) -> Any:
        ran = whole(*asked)
        # No more runs on the device: only what follows asks for it.
        object.__setattr__(asked[1], "device", "cuda")
        return ran

    monkeypatch.setattr(command, "_run", counted)
    code, out, _ = run(
        applied, "--device", "cpu", "--route", "precomputed", "--scenario", DECODE
    )
    assert code == 130
    assert out.splitlines()[-1].startswith("incomplete, 2 of 2 cases: 0 of 2 differ; ")
    assert "launches and host syncs: it was stopped before they were counted" in out


@tree
def test_a_second_ctrl_c_while_it_writes_ends_it(
    applied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(*report: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "Progress", progress(after=1))
    monkeypatch.setattr(command, "write", written)
    code, _, err = run(applied, "--device", "cpu", "--route", "original")
    assert code == 130
    assert err.endswith("interrupted: there is no verdict\n")


def test_the_first_interrupt_ends_a_block_and_the_second_goes_through() -> None:
    with Stoppable() as block:
        raise KeyboardInterrupt
    assert block.stopped
    with Stoppable() as block:
        pass
    assert not block.stopped
    with pytest.raises(ValueError, match="x"), Stoppable():
        raise ValueError("x")
    with pytest.raises(Ended), Stoppable():
        raise Ended
    with pytest.raises(KeyboardInterrupt), Stoppable(), ending_workers():
        raise KeyboardInterrupt


@contextlib.contextmanager
def ending_workers() -> Iterator[None]:
    """Is interrupted while it answers an interrupt."""
    try:
        yield
    finally:
        raise KeyboardInterrupt


def progress(after: int, *, failed: bool = False) -> Callable[..., Any]:
    """Interrupts once so many cases are through; failed: so many that are not good."""

    class Stops(command.Progress):
        seen = 0

        def __call__(self, case: Case) -> None:
            super().__call__(case)
            self.seen += case.failed or not failed
            if self.seen == after:
                interrupts()

    return Stops
