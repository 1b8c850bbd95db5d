"""Adds an on/off switch to the table of environment variables."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from patcher.steps.cst import layout, scopes
from patcher.steps.cst.bindings import defined
from patcher.steps.cst.workspace import Conflict, Workspace

Body = list[cst.BaseStatement]


@dataclass(frozen=True)
class AddEnvFlag:
    """Adds `NAME = EnvBool(default)` under `# section`, the last section if new.

    A heading may say more than the section's name, and in other capitals.
    """

    file: str
    cls: str
    name: str
    default: bool
    section: str

    def adds(self) -> frozenset[str]:
        """The flag."""
        return frozenset({f"{self.cls}.{self.name}"})

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the class is missing or has the flag.

        Patches may share a gate: the first of them brings it.
        """
        symbol = f"{self.cls}.{self.name}"
        if (self.file, symbol) in work.brought:
            return
        flag = cst.parse_statement(f"{self.name} = EnvBool({self.default})\n")

        def edit(node: scopes.Definition) -> scopes.Definition:
            suite = scopes.block(node, self.cls)
            if any(self.name in defined(statement) for statement in suite.body):
                raise Conflict(symbol, f"{symbol} is already defined")
            body = self._added(list(suite.body), flag, patch)
            return node.with_changes(body=suite.with_changes(body=body))

        target = work.module(self.file)
        work.put(self.file, scopes.edit_definition(target, self.cls, edit))
        work.brought.add((self.file, symbol))

    def _added(self, body: Body, flag: cst.BaseStatement, patch: str) -> Body:
        title = f"# {self.section}"
        for index, statement in enumerate(body):
            above = layout.comments(statement)
            if any(line.lower().startswith(title.lower()) for line in above):
                end = index + 1
                while end < len(body) and not layout.blanks(layout.leading(body[end])):
                    end += 1
                return body[:end] + layout.mark([flag], patch, []) + body[end:]
        heading = cst.EmptyLine(comment=cst.Comment(title))
        return body + layout.mark([flag], patch, [layout.BLANK, heading])
