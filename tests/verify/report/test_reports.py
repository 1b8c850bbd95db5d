"""The report in every format, and what each verdict says."""

from __future__ import annotations

import json
from dataclasses import replace
from json import dumps
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
from rich.console import Console

from patcher.report import report as result_of
from patcher.results import SCHEMA_VERSION, Refused
from tests.verify.bench.kit import measured, original
from tests.verify.bench.kit import report as bench_report
from tests.verify.engine.reports import report as engine_report
from tests.verify.report.reports import (
    CRASH,
    DIFFERENT,
    KILLED,
    SAME,
    SCENARIO,
    WRONG,
    report,
)
from tests.verify.schemas import SHIPPED, validate
from verify.outcome import Different, NotRun, Outcome
from verify.report import console
from verify.report.github import workflow_commands
from verify.report.junit import junit
from verify.report.model import Incomplete, Model, Report, dump
from verify.report.write import write

HOUSE = Path(__file__).parents[3]
KINDS = {
    "identical": (SAME, SAME),
    "different": (SAME, DIFFERENT),
    "unverified": (SAME, KILLED),
}


@pytest.mark.parametrize("kind", SHIPPED, ids=lambda kind: kind.__name__)
def test_the_shipped_schema_is_the_model_s(kind: type[Model]) -> None:
    text = json.dumps(kind.model_json_schema(), indent=1) + "\n"
    assert SHIPPED[kind].read_text(encoding="utf-8") == text


def test_all_json_has_the_one_version() -> None:
    found = [dump(report(SAME)), dump(bench_report([measured(original())]))]
    found += [dump(engine_report()), dumps(result_of(Refused(())))]
    assert {json.loads(text)["schema_version"] for text in found} == {SCHEMA_VERSION}
    shipped = [
        *HOUSE.glob("patcher/*.schema.json"),
        *HOUSE.glob("verify/**/*.schema.json"),
    ]
    assert len(shipped) == 6
    assert all("schema_version" in file.read_text("utf-8") for file in shipped)


@pytest.mark.parametrize("verdict", KINDS)
def test_json_is_valid_and_says_the_verdict(verdict: str) -> None:
    text = dump(report(*KINDS[verdict]))
    validate(text, Report)
    assert json.loads(text)["verdict"] == verdict


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((SAME,), 0),
        ((SAME, DIFFERENT), 1),
        ((SAME, DIFFERENT, CRASH), 1),
        ((SAME, CRASH), 1),
        ((SAME, KILLED), 4),
        ((NotRun("nothing there"),), 4),
        ((), 4),
    ],
    ids=["identical", "different", "both", "crash", "killed", "nothing ran", "empty"],
)
def test_exit_code(outcomes: tuple[Outcome, ...], code: int) -> None:
    assert report(*outcomes).exit_code == code


@pytest.mark.parametrize(
    ("outcomes", "planned", "summary"),
    [
        ((SAME,), 158, "incomplete, 2 of 158 cases: 0 of 2 differ, 1 cases not run; "),
        ((SAME,), None, "incomplete, 2 cases: 0 of 2 differ, 1 cases not run; "),
        (
            (SAME, DIFFERENT, CRASH), 1580,
            "incomplete, 4 of 1,580 cases: 1 of 4 differ, 1 broken, 1 cases not run; ",
        ),
        ((KILLED,), 2, "incomplete, 2 of 2 cases: 0 of 2 differ, 1 broken, 1 cases "),
    ],
)  # fmt: skip
def test_a_run_that_was_stopped_has_no_verdict(
    outcomes: tuple[Outcome, ...],
    planned: int | None,
    summary: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = report(*outcomes, stopped=True, planned=planned)
    assert found.summary.startswith(summary)
    assert found.summary.endswith("; there is no verdict, in 12 s on cpu, logic only")
    assert (found.verdict, found.exit_code) == ("unverified", 130)
    assert found.incomplete == Incomplete(done=len(outcomes) + 1, of=planned)
    validate(dump(found), Report)
    assert json.loads(dump(found))["incomplete"]["of"] == planned
    # What was found is shown as ever; pictures of it too.
    assert found.failures == report(*outcomes).failures
    assert f"::error title=verify-nsa-opt::{summary}" in workflow_commands(found)
    console.render(found, Console(width=200))
    assert capsys.readouterr().out.splitlines()[-1] == found.summary
    assert report(*outcomes, planned=planned).incomplete is None


def test_a_run_that_was_stopped_says_what_it_left_out() -> None:
    found = report(SAME, stopped=True, planned=158)
    assert "156 cases that would have come after it was stopped" in found.not_run
    assert not any(note.startswith("stand-ins") for note in found.notes)
    ended = report(SAME, stopped=True, said=False)
    assert "all that would have come after it was stopped" in ended.not_run
    unknown = "stand-ins: those of the workers that were ended are not known"
    assert unknown in ended.notes
    counting = report(SAME, stopped=True, planned=2, device="cuda")
    uncounted = "launches and host syncs: it was stopped before they were counted"
    assert uncounted in counting.not_run
    assert not any("stopped" in line for line in report(SAME, said=False).not_run)
    assert unknown not in report(SAME, said=False).notes


def test_junit_of_a_run_that_was_stopped_passes_nowhere() -> None:
    root = xml.fromstring(junit(report(SAME, stopped=True, planned=158)))
    *modes, stopped = root
    error = stopped.find("testcase/error")
    assert error is not None
    assert str(error.get("message")).startswith("incomplete, 2 of 158 cases: ")
    assert (error.get("type"), stopped.get("errors")) == ("INTERRUPTED", "1")
    assert [suite.get("skipped") for suite in modes] == ["1", "1"]
    (skipped,) = modes[0].iter("skipped")
    assert skipped.get("message") == "the run was stopped"
    found = xml.fromstring(junit(report(SAME, DIFFERENT, stopped=True)))
    assert len(found.findall(".//failure")) == 1


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    console.render(report(SAME, DIFFERENT), Console(width=120))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "device: cpu. This proves the logic, not the GPU: kernels run in Triton's "
        "interpreter."
    )
    assert (
        "decode/fan-out: bs8.page_table_1 of backend 2, replay 3 (bs 8), index "
        "(4, 2047): old 1234, new -7 (9 of 64 elements): wrong value"
    ) in lines
    assert (
        f"  reproduce: verify-nsa-opt tree --device cpu --route fan-out --scenario "
        f"{SCENARIO} --seed 0"
    ) in lines
    assert lines[-1] == (
        "NOT identical: 1 of 3 cases differ, 1 cases not run, in 12 s on cpu, logic only"
    )
    assert "note: edited since the apply: a.py" in lines
    assert "\x1b" not in "".join(lines)


def test_a_broken_case_shows_its_last_words(capsys: pytest.CaptureFixture[str]) -> None:
    console.render(report(CRASH), Console(width=120))
    out = capsys.readouterr().out
    assert (
        "decode/fan-out: crash on the candidate: the worker ended with SIGSEGV" in out
    )
    assert "<&> last words" in out


def test_junit() -> None:
    root = xml.fromstring(junit(report(SAME, DIFFERENT)))
    suites = {suite.get("name"): suite for suite in root}
    assert suites["decode"].get("failures") == "1"
    assert suites["decode@runner"].get("skipped") == "1"
    failure = suites["decode"].find(".//failure")
    assert failure is not None
    assert "page_table_1 of backend 2" in str(failure.get("message"))
    crashed = xml.fromstring(junit(report(CRASH))).find(".//failure")
    assert crashed is not None
    assert crashed.get("type") == "crash"
    died = replace(CRASH, side="baseline")
    error = xml.fromstring(junit(report(SAME, died))).find(".//error")
    assert error is not None
    names = {case.get("name") for case in root.iter("testcase")}
    assert names == {"fan-out", "in-graph"}, "names do not depend on what fails"


def test_one_mistake_is_one_finding_wherever_it_shows() -> None:
    other = replace(WRONG, owner="backend 0", field="bs1.page_table_1", replay=1, bs=1)
    plan = replace(WRONG, field="bs8.flashmla_metadata")
    cases = (Different((WRONG, plan)), Different((other,)), Different((WRONG,)))
    (failure,) = report(SAME, *cases).failures
    assert (failure.cases, failure.backends) == (3, ["backend 0", "backend 2"])
    assert failure.detail[0] == (
        "in 3 cases, 1 scenario, 2 backends (0, 2): decode/fan-out"
    )
    assert len(report(CRASH, CRASH, Different((WRONG,))).failures) == 2


def test_a_cause_comes_before_what_is_computed_from_it() -> None:
    fields = ("bs8.num_splits", "bs8.page_table_1", "bs8.cache_seqlens_int32")
    found = sorted((replace(WRONG, field=f) for f in fields), key=lambda d: d.rank)
    assert [d.field for d in found] == list(reversed(fields))


def test_annotations() -> None:
    text = workflow_commands(report(SAME, DIFFERENT))
    assert text.startswith("::error title=verify-nsa-opt::decode/fan-out: ")
    assert "%0Areproduce: verify-nsa-opt" in text
    assert workflow_commands(report(SAME)).startswith("::notice ")


def test_annotations_only_on_github(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    write(report(SAME), tmp_path / "out", None, None)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    write(report(SAME), None, None, None)
    assert capsys.readouterr().out.startswith("::notice ")
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    write(report(SAME), None, Path("-"), None)
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "identical"
    assert err.startswith("::notice ")
    assert "| mode | route | identical | not |\n| - | - | - | - |\n" in page.read_text()
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["junit.xml", "report.html", "report.json"]
