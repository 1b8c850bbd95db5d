"""One self-contained HTML page: verdict, matrix, failures with pictures, environment."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from verify.report.model import Cell, Failure, Found, Grid, Report, SideReport
from verify.report.style import STYLE

FAILURES = 60


def html(report: Report) -> str:
    title = f"verify-nsa-opt: {report.verdict}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
        *_head(report),
        *_matrix(report),
        *_failures(report),
        *_counters(report),
        *_list("Not run", report.not_run),
        *_list("Stand-ins", report.standins),
        *_list("Notes", report.notes),
        *_environment(report),
        *_files(report),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _head(report: Report) -> Iterable[str]:
    yield "<h1>NSA replay metadata, old against new</h1>"
    where = escape(report.device.name)
    limit = (
        " A CPU run proves the logic, not the GPU: kernels ran in Triton's interpreter."
        if report.device.logic_only
        else ""
    )
    yield f'<p class="soft">{escape(report.started)} on {where}.{limit}</p>'
    yield f'<p class="verdict {report.verdict}">{escape(report.summary)}</p>'
    yield f"<pre>{escape(report.command)}</pre>"


def _matrix(report: Report) -> Iterable[str]:
    modes = list(dict.fromkeys(cell.mode for cell in report.matrix))
    routes = list(dict.fromkeys(cell.route for cell in report.matrix))
    cells = {(cell.route, cell.mode): cell for cell in report.matrix}
    yield '<h2>Matrix</h2><div class="scroll"><table id="matrix"><thead><tr><th>route'
    yield "".join(f"<th>{escape(mode)}" for mode in modes) + "</tr></thead><tbody>"
    for route in routes:
        row = "".join(_cell(cells.get((route, mode))) for mode in modes)
        yield f"<tr><th>{escape(route)}</th>{row}</tr>"
    yield "</tbody></table></div>"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return '<td class="cell none" title="not a path of this route">–</td>'
    if cell.different or cell.broken:
        words = [f"{cell.different} differ"] if cell.different else []
        words += [f"{cell.broken} broken"] if cell.broken else []
        return f'<td class="cell bad">✗ {", ".join(words)}, {cell.identical} identical</td>'
    if not cell.identical:
        return '<td class="cell none">not run</td>'
    return (
        f'<td class="cell good">✓ {cell.identical} cases<br>'
        f'<span class="soft">{cell.replays} replays, {cell.seconds:.1f} s</span></td>'
    )


def _failures(report: Report) -> Iterable[str]:
    if not report.failures:
        return
    yield f"<h2>Failures ({len(report.failures)})</h2>"
    for failure in report.failures[:FAILURES]:
        yield from _failure(failure)
    if len(report.failures) > FAILURES:
        yield f"<p>{len(report.failures) - FAILURES} more are in report.json.</p>"


def _failure(failure: Failure) -> Iterable[str]:
    yield f'<div class="card failure"><h3>{escape(failure.line)}</h3>'
    drawn = [found for found in failure.found if found.grid is not None]
    for found in drawn:
        yield from _picture(found)
    if failure.detail:
        count = len(failure.detail)
        yield f"<details><summary>{count} more</summary><pre>"
        yield escape("\n".join(failure.detail)) + "</pre></details>"
    yield f"<pre>{escape(failure.reproduce)}</pre></div>"


def _picture(found: Found) -> Iterable[str]:
    assert found.grid is not None
    shape = " x ".join(map(str, found.grid.shape))
    label = (
        f"{found.field} of {found.group}, replay {found.replay}: where its "
        f"{found.count} differing elements lie ({shape})"
    )
    yield f'<div class="soft">{escape(label)}</div>'
    yield svg(found.grid, label)


def svg(grid: Grid, label: str) -> str:
    """Rows down, columns across; the darker a square, the more elements differ there."""
    rows, columns = len(grid.cells), len(grid.cells[0]) if grid.cells else 0
    most = max((max(row) for row in grid.cells if row), default=0) or 1
    height = max(1, rows)
    hits = "".join(
        f'<rect class="hit" x="{x}" y="{y}" width="1" height="1" '
        f'opacity="{0.35 + 0.65 * count / most:.2f}"/>'
        for y, row in enumerate(grid.cells)
        for x, count in enumerate(row)
        if count
    )
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {columns} {height}" preserveAspectRatio="none" '
        f'style="height:{min(240, 12 * height + 8)}px">'
        f'<rect class="frame" x="0" y="0" width="{columns}" height="{height}" '
        f'vector-effect="non-scaling-stroke"/>{hits}</svg>'
    )


def _counters(report: Report) -> Iterable[str]:
    if not report.counters:
        return
    yield "<h2>Launches and host syncs of one replay call</h2>"
    yield '<div class="scroll"><table><tr><th>mode<th>route<th>side<th>launches<th>syncs'
    for c in report.counters:
        yield (
            f"<tr><td>{escape(c.mode)}<td>{escape(c.route)}<td>{c.side}"
            f"<td>{c.launches:g}<td>{c.syncs:g}</tr>"
        )
    yield "</table></div>"


def _list(title: str, lines: list[str]) -> Iterable[str]:
    if lines:
        yield f"<h2>{title}</h2><ul>"
        yield "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _environment(report: Report) -> Iterable[str]:
    yield '<h2>Environment</h2><div class="scroll"><table><tr><th>worker<th>gates on'
    yield "<th>Python<th>torch<th>Triton<th>device"
    for worker in report.workers:
        on = [
            gate.removeprefix("SGLANG_NSA_")
            for gate, v in worker.gates.items()
            if v == "1"
        ]
        blocked = [f"without {name}" for name in worker.blocked]
        yield (
            f"<tr><td>{worker.side}<td><code>{escape(', '.join([*on, *blocked]) or 'none')}"
            f"</code><td>{escape(worker.python)}<td>{escape(worker.torch)}"
            f"<td>{escape(worker.triton or 'none')}<td>{escape(worker.device)}</tr>"
        )
    yield "</table></div>"
    poisons = ", ".join(map(str, report.poisons))
    yield f'<p class="soft">{escape(report.tool)}, runtime {escape(report.runtime)}, '
    yield f"seed {report.seed}, poisons {poisons}.</p>"


def _files(report: Report) -> Iterable[str]:
    yield "<h2>Files compared</h2>"
    yield f"<p>Baseline: {_side(report.baseline)}<br>Candidate: {_side(report.candidate)}</p>"
    yield '<div class="scroll"><table id="files"><tr><th>file<th>baseline<th>candidate'
    for path in sorted({*report.baseline.files, *report.candidate.files}):
        old, new = report.baseline.files.get(path), report.candidate.files.get(path)
        same = " class='soft'" if old == new else ""
        yield (
            f"<tr{same}><td><code>{escape(path)}</code><td><code>{_short(old)}</code>"
            f"<td><code>{_short(new)}</code></tr>"
        )
    yield "</table></div>"


def _side(side: SideReport) -> str:
    return f"<code>{escape(side.label)}</code> ({escape(side.release)})"


def _short(digest: str | None) -> str:
    return f'<span title="{digest}">{digest[:16]}</span>' if digest else "not there"
