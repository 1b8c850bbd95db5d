"""What a terminal of 60 columns shows, and how far a long command says it is."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest
from rich.console import Console

from patcher.cli import outputs
from tests.verify.bench.kit import data, measured, original
from tests.verify.bench.kit import report as bench_report
from tests.verify.engine.reports import report as engine_report
from tests.verify.report.reports import DIFFERENT, SAME, case, report
from verify.bench.report import console as bench_console
from verify.cli.progress import Progress
from verify.engine.report import console as engine_console
from verify.report import console

NARROW = 60
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def terminal(command: list[str], width: int = NARROW, **more: str) -> str:
    """What a terminal of this width is sent by a command that ends."""
    # A test runner that has several processes tells them its own width.
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    done = subprocess.Popen(
        command, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL,
        env={**env, "TERM": "xterm", **more},
    )  # fmt: skip
    os.close(writer)
    seen = b""
    try:
        while piece := os.read(reader, 4096):
            seen += piece
    except OSError:  # the other end is closed
        pass
    os.close(reader)
    done.wait()
    return _COLOUR.sub("", seen.decode()).replace("\r\n", "\n")


def too_long(text: str, width: int = NARROW) -> list[str]:
    """Lines that a terminal would break, but for those that are one word or a command."""
    return [
        line
        for line in text.splitlines()
        if len(line.rstrip()) > width
        and " " in line.strip()
        and not re.match(r"\s*(next|reproduce): ", line)
    ]


@pytest.mark.parametrize(
    "words", ["--list", "nowhere-at-all-in-this-long-path --check"]
)
def test_a_narrow_terminal_breaks_lines_between_words(words: str) -> None:
    command = [sys.executable, "-m", "patches.commands", "apply", *words.split()]
    wide, narrow = terminal(command, 200), terminal(command)
    assert not too_long(narrow)
    assert set(narrow.split()) & set(wide.split())
    if words == "--list":
        assert "  fits: precompute" in narrow
        assert too_long(wide)


@pytest.mark.parametrize("module", ["verify.cli.verify", "verify.cli.bench"])
def test_help_fits_a_narrow_terminal(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    narrow = terminal(command)
    examples = re.findall(r"^    \S+-nsa-opt .*$", narrow, re.M)
    assert len(examples) >= 5
    assert not set(too_long(narrow)) - set(examples), "a command is to be copied"
    assert not [line for line in examples if re.search(r"\S {3,}\S", line)]
    assert re.search(r"^    \S+-nsa-opt .*? {3,}\S", terminal(command, 200), re.M)


def test_a_pipe_s_lines_are_not_broken() -> None:
    text = "word " * 60
    assert outputs.fitted(text, io.StringIO()) == text


def shown(width: int, render: object, *arguments: object) -> str:
    out = io.StringIO()
    said = Console(file=out, width=width, force_terminal=True, no_color=True)
    render(*arguments, said)  # type: ignore[operator]
    return _COLOUR.sub("", out.getvalue())


def test_a_narrow_terminal_shows_the_matrix() -> None:
    text = shown(NARROW, console.render, report(SAME, DIFFERENT))
    assert not too_long(text)
    assert re.search(r"^mode +route +same +not +s$", text, re.M)
    assert re.search(r"^decode +fan-out +1 +1 +1\.0$", text, re.M)
    assert "identical  different" in shown(120, console.render, report(SAME))


def test_a_narrow_terminal_shows_what_a_bench_compares_first() -> None:
    found = bench_report([measured(original(), data("fan-out", 30))])
    text = shown(NARROW, bench_console.render, found)
    assert not too_long(text)
    assert re.search(r"^N +bs +len +side +x original( +time µs)? +verdict$", text, re.M)
    assert "more columns: a wider terminal" in text
    assert "…" not in text
    assert "more columns" not in shown(200, bench_console.render, found)


def test_a_narrow_terminal_shows_an_engine_s_tokens() -> None:
    text = shown(NARROW, engine_console.render, engine_report())
    assert not too_long(text)
    assert re.search(r"^steps +prompt +bs +side +tokens", text, re.M)
    assert "…" not in text


def test_a_pipe_gets_a_line_every_so_often_with_elapsed_and_remaining(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress("verifying", 8, every=0.02) as bar:
        bar(case(SAME))
        bar(case(DIFFERENT))
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 11
    assert re.fullmatch(
        r"verifying: 2 of 8, 0:0\d, about 0:0\d left, decode/fan-out, 1 bad", lines[-1]
    )


def test_remaining_time_is_that_of_the_cases_so_far() -> None:
    now = [0.0]
    with Progress("timing", 10, clock=lambda: now[0]) as bar:
        now[0] = 65.0
        assert bar.line() == "timing: 0 of 10, 1:05"
        bar.step(4, "decode bs 1")
        now[0] = 4000.0
        assert bar.line() == (
            "timing: 4 of 10, 1:06:40, about 1:40:00 left, decode bs 1"
        )
    with Progress("verifying", None, clock=lambda: 0.0) as bar:
        bar.step(3, "")
        assert bar.line() == "verifying: 3, 0:00"


BAR = """
import time
from verify.cli.progress import Progress
with Progress("verifying", 400) as bar:
    for done in range(1, 5):
        time.sleep(0.15)
        bar.step(100 + done, "decode@runner/precomputed (pair), 12 bad")
"""


def test_a_terminal_gets_a_bar_that_fits_it() -> None:
    seen = terminal([sys.executable, "-c", BAR])
    frames = re.findall(r"[^\n\r\x1b]*/400[^\n\r\x1b]*", seen)
    assert frames
    assert all(len(frame) <= NARROW for frame in frames)
    assert re.search(r"10\d/400 \S+ 0:00:\d\d \d\d:\d\d decode@runner/", frames[-1])


@pytest.mark.parametrize(
    ("module", "words", "offered"),
    [
        ("verify.cli.verify", "verify-nsa-opt --route fan", ["fan-out"]),
        ("verify.cli.verify", "verify-nsa-opt --device c", ["cpu", "cuda"]),
        ("verify.cli.verify", "verify-nsa-opt --runtime ins", ["installed"]),
        ("verify.cli.verify", "verify-nsa-opt --baseline in", ["in-tree"]),
        ("verify.cli.verify", "verify-nsa-opt --baseline 0.5.22", ["0.5.22"]),
        ("verify.cli.bench", "bench-nsa-opt --against 0.5.9", ["0.5.9"]),
        ("verify.cli.bench", "bench-nsa-opt --mode tar", ["target_verify"]),
        ("verify.cli.bench", "bench-nsa-opt --decode-kernel fl", ["flashmla_kv"]),
    ],
)
def test_the_shell_completes_names(module: str, words: str, offered: list[str]) -> None:
    variable = f"_{words.split()[0].upper().replace('-', '_')}_COMPLETE"
    done = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, check=False,
        env={
            **os.environ, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
            variable: "complete_bash",
        },
    )  # fmt: skip
    assert done.stdout.split() == offered
