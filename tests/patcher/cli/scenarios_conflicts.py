"""Scenarios: every way in which a step does not fit a tree."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import libcst as cst

from patcher.plan import edits as plan
from patcher.steps import (
    AddDefinitions,
    AddEnvFlag,
    AddMethods,
    AddModule,
    InsertBefore,
    PrependToBody,
    RequireKnown,
    RequireNeverRead,
    RequireReaders,
    Step,
)
from patcher.steps.cst import workspace
from tests.kit import patch_of
from tests.patcher.cli.stage import Stage, scenario
from tests.patcher.lookalike import BACKEND, ENVIRON, FILES, KERNEL, RUNNER, write_tree

PAYLOAD = """
    from typing import Tuple

    from elsewhere import numpy
    from sglang.srt.layers.attention.nsa_backend import Gone


    class Metadata:
        pass


    class More:
        def refill(self):
            pass


    class Extra:
        def replay(self):
            pass


    def forward(self, rows):
        return Gone(rows)


    def once():
        return numpy


    def same(self, rows):
        return numpy.asarray(rows)


    def draft():
        pass
"""


def attempt(stage: Stage, name: str, *steps: Step, **files: str) -> None:
    """Applies a patch of these steps to a tree with some files changed."""
    given = {"backend": BACKEND, "environ": ENVIRON, "kernel": KERNEL}
    changed = {given[file]: text for file, text in files.items()}
    write_tree(stage.folder / name, {**FILES, **changed})
    patches = (patch_of(*steps),)
    stage.patches = patches
    stage.run(f"apply {name} --allow-drift")


def payload(stage: Stage, text: str = PAYLOAD) -> Path:
    path = stage.folder / "payload.py"
    path.write_text(dedent(text))
    return path


@scenario
def names_that_clash(stage: Stage) -> None:
    source = payload(stage)
    taken = AddDefinitions(BACKEND, "Backend", source, ("Metadata",))
    attempt(stage, "definition", taken)
    attempt(stage, "method", AddMethods(BACKEND, "Backend", "replay", source, "Extra"))
    attempt(stage, "flag", AddEnvFlag(ENVIRON, "Envs", "LOG_STEPS", True, "Speed"))
    attempt(stage, "import", AddDefinitions(BACKEND, "Backend", source, ("once",)))
    attempt(stage, "module", AddModule(KERNEL, source), kernel="x = 1\n")
    attempt(stage, "uses", PrependToBody(BACKEND, "Backend.forward", source, "forward"))
    other = stage.folder / "other.py"
    other.write_text("def draft():\n    return 1\n")
    attempt(stage, "modules", AddModule(KERNEL, source), AddModule(KERNEL, other))


@scenario
def places_that_are_not_there(stage: Stage) -> None:
    source = payload(stage)
    run_once, returned = "Runner.capture.run_once", "return self.draft(prepared)"
    for name, text in (
        ("changed", "return self.draft(prepared, 1)"),
        ("doubled", f"if size: {returned}\n            {returned}"),
        ("inline", f"if size: {returned}"),
    ):
        files = {**FILES, RUNNER: FILES[RUNNER].replace(returned, text)}
        anchor = "return self.draft(prepared)"
        write_tree(stage.folder / name, files)
        step = InsertBefore(RUNNER, run_once, anchor, source, "draft")
        stage.patches = (patch_of(step),)
        stage.run(f"apply {name} --allow-drift")
    again = PrependToBody(BACKEND, "Backend.forward", source, "same")
    attempt(stage, "already", again)
    methods = AddMethods(BACKEND, "Backend", "forward", source, "More")
    short = FILES[BACKEND].replace("\n\n\nclass Backend", "\n\n\nclass Other")
    attempt(stage, "header", methods, backend=f"{short}\n\nclass Backend: x = 1\n")
    double = (
        f"{FILES[BACKEND]}\n\nclass Backend:\n    def forward(self):\n        pass\n"
    )
    attempt(stage, "twice", methods, backend=double)
    step = AddDefinitions("sglang/srt/none.py", "x", source, ("draft",))
    attempt(stage, "gone", step)
    read = f"{FILES[BACKEND]}\n\ndef size(backend):\n    return backend.size\n"
    known = RequireKnown(BACKEND, "Backend.replay")
    changed = FILES[BACKEND].replace("max(lens)", "7\n        total += 1")
    attempt(stage, "repeated", known, backend=changed)
    attempt(stage, "read", RequireNeverRead(BACKEND, "size"), backend=read)
    attempt(stage, "reader", RequireReaders(BACKEND, "size", {}), backend=read)


@scenario
def files_that_cannot_be_read(stage: Stage) -> None:
    step = AddDefinitions(BACKEND, "Backend", payload(stage), ("draft",))
    for name, old, new in (
        ("no python", "lens: List", "lens: (List"),
        ("no utf-8", "# The longest row.", "# Die l\xe4ngste Zeile."),
        ("other encoding", "from __future__", "# coding: latin-1\nfrom __future__"),
        ("does not compile", "return numpy", "break; return numpy"),
    ):
        tree = write_tree(stage.folder / name)
        text = FILES[BACKEND].replace(old, new)
        tree.path(BACKEND).write_bytes(text.encode("latin-1"))
        stage.patches = (patch_of(step),)
        stage.run(f"apply '{name}' --allow-drift")


@scenario
def mistakes_of_this_tool(stage: Stage) -> None:
    stage.monkeypatch.setattr(plan, "_refused", lambda work, patches, file: False)
    attempt(stage, "x", AddEnvFlag(ENVIRON, "Envs", "FAST", True, "Speed"))
    other = cst.parse_module("x = 1\n")
    stage.monkeypatch.setattr(workspace.cst, "parse_module", lambda text: other)
    attempt(stage, "y", AddEnvFlag(ENVIRON, "Envs", "FAST", True, "Speed"))
