"""Failing cases grouped into findings: one mistake, one entry, wherever it shows.

What a case's first difference is (its cause comes first, see `Difference.rank`) decides
which finding it belongs to; the smallest case stands for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from verify.outcome import Broken, Case, Difference, Different
from verify.worker.scenario import parse

_SIZE = re.compile(r"^(bs\d+\.)?(step\d+\.)?")
_NUMBER = re.compile(r"\d+")
_FEWEST = 3  # passing cases, or it may be chance
_SETTINGS = {
    "impl": "{} decode",
    "page_size": "page size {}",
    "seq_bits": "int{} lengths",
    "row_bits": "int{} rows",
    "kv": "{} KV",
    "prefill": "{} prefill",
}


@dataclass(frozen=True)
class Finding:
    """Failing cases with one cause. case: the smallest of them.

    only: settings that all of them have, and none of what passes in the same places.
    """

    case: Case
    cases: tuple[Case, ...]
    only: tuple[str, ...] = ()

    @property
    def places(self) -> list[str]:
        return list(dict.fromkeys(case.place for case in self.cases))

    @property
    def scenarios(self) -> int:
        return len({(case.place, case.scenario) for case in self.cases})

    @property
    def poisons(self) -> list[int]:
        return sorted({case.poison for case in self.cases})

    @property
    def backends(self) -> list[str]:
        """Owners of the buffer, in any of the cases: "backend 0", ..."""
        causes = [d for c in self.cases for d in _differences(c) if _same(d, self.case)]
        return sorted({d.owner for d in causes}, key=lambda o: (len(o), o))

    def line(self) -> str:
        """What happened, in one line: the first element of the smallest case."""
        outcome = self.case.outcome
        if isinstance(outcome, Different):
            return f"{self.case.place}: {outcome.differences[0].line()}"
        assert isinstance(outcome, Broken)
        said = f"{outcome.kind} on the {outcome.side}: {outcome.message}"
        return f"{self.case.place}: {said}"

    def detail(self) -> list[str]:
        """How far it goes, the batch that shows it, and what else differs there."""
        lines = [f"in {self._extent()}"]
        if self.only:
            lines.append(f"only with {', '.join(self.only)}: all else passes there")
        outcome = self.case.outcome
        if isinstance(outcome, Broken):
            return [*lines, *outcome.where]
        first = _differences(self.case)[0]
        if first.batch:
            lines.append(f"batch (lengths@rows+accepted): {_short(first.batch)}")
        also = self._also()
        if also:
            lines.append(f"then also: {', '.join(also)}")
        return lines

    def _also(self) -> list[str]:
        """Other buffers that differ in any of the cases, and what follows of them."""
        notes: dict[str, str] = {}
        for case in (self.case, *self.cases):
            for difference in _differences(case):
                if not _same(difference, self.case):
                    notes.setdefault(_name(difference), difference.note)
        return [f"{name} ({note})" if note else name for name, note in notes.items()]

    def _extent(self) -> str:
        counts = [_count(len(self.cases), "case"), _count(self.scenarios, "scenario")]
        backends = [o for o in self.backends if o.startswith("backend")]
        if backends:
            counts.append(f"{_count(len(backends), 'backend')} ({_range(backends)})")
        places = self.places
        more = f" and {len(places) - 6} more" if len(places) > 6 else ""
        return f"{', '.join(counts)}: {', '.join(places[:6])}{more}"


def findings(cases: Iterable[Case]) -> list[Finding]:
    """What broke down first, then what shows in most places."""
    cases = list(cases)
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        if case.failed:
            groups.setdefault(_cause(case), []).append(case)
    found = [
        Finding(min(g, key=_size), tuple(g), tuple(_only(g, cases)))
        for g in groups.values()
    ]
    return sorted(found, key=lambda f: -len(f.cases))


def _only(group: list[Case], cases: list[Case]) -> Iterator[str]:
    """Settings, in words, that part the failing scenarios of a place from the passing."""
    places = {case.place for case in group}
    passing = [c for c in cases if c.place in places and not c.failed]
    if len(passing) < _FEWEST or not all(c.scenario for c in (*group, *passing)):
        return
    bad, good = (
        [parse(text) for text in {case.scenario for case in of}]
        for of in (group, passing)
    )
    for name, words in _SETTINGS.items():
        values = {getattr(scenario, name) for scenario in bad}
        if len(values) == 1 and not values & {getattr(s, name) for s in good}:
            yield words.format(values.pop())


def _cause(case: Case) -> tuple[str, ...]:
    if isinstance(case.outcome, Broken):
        broken = case.outcome
        return broken.kind, broken.side, _NUMBER.sub("#", broken.message)
    first = _differences(case)[0]
    return _NUMBER.sub("#", first.what), _name(first)


def _differences(case: Case) -> tuple[Difference, ...]:
    return case.outcome.differences if isinstance(case.outcome, Different) else ()


def _same(difference: Difference, case: Case) -> bool:
    first = _differences(case)
    return bool(first) and _name(difference) == _name(first[0])


def _name(difference: Difference) -> str:
    """The buffer, whatever the captured batch size."""
    return _SIZE.sub("", difference.field)


def _size(case: Case) -> tuple[int, int, int]:
    """Small is a case with few differences, a short batch, a short scenario."""
    found = _differences(case)
    batch = found[0].batch if found else ""
    return len(found), len(batch), len(case.scenario)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _range(backends: list[str]) -> str:
    numbers = [name.partition(" ")[2] for name in backends]
    return f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 2 else ", ".join(numbers)


def _short(batch: str) -> str:
    return batch if len(batch) <= 160 else f"{batch[:157]}..."
