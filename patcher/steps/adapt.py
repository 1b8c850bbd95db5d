"""How a payload written for one family is made to fit an older one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import libcst as cst

from patcher.steps.cst import scopes
from patcher.steps.cst.bindings import bindings
from patcher.steps.cst.workspace import Conflict


class When(Protocol):
    """A question about the target module."""

    def __call__(self, module: cst.Module) -> bool: ...


def always(module: cst.Module) -> bool:
    """Whatever the target is: the recipe asks for it by family."""
    return True


@dataclass(frozen=True)
class HasGlobal:
    """The target binds this name at its top level."""

    name: str

    def __call__(self, module: cst.Module) -> bool:
        return self.name in bindings(module)


@dataclass(frozen=True)
class HasMethod:
    """The target's class `cls` defines this method."""

    cls: str
    name: str

    def __call__(self, module: cst.Module) -> bool:
        try:
            scopes.find_definition(module, f"{self.cls}.{self.name}")
        except Conflict:
            return False
        return True


@dataclass(frozen=True)
class LacksMethod:
    """The target's class `cls` does not define this method."""

    cls: str
    name: str

    def __call__(self, module: cst.Module) -> bool:
        return not HasMethod(self.cls, self.name)(module)


@dataclass(frozen=True)
class HasStatement:
    """The target's `function` has this statement."""

    function: str
    statement: str

    def __call__(self, module: cst.Module) -> bool:
        try:
            function = scopes.find_definition(module, self.function)
        except Conflict:
            return False
        return scopes.contains(function, [cst.parse_statement(self.statement)])


@dataclass(frozen=True)
class Rename:
    """Expression `old` becomes `new` wherever the payload has it."""

    old: str
    new: str
    when: When = always

    def transformer(self) -> cst.CSTTransformer:
        """The rewrite of the payload."""
        return _Rename(cst.parse_expression(self.old), cst.parse_expression(self.new))


@dataclass(frozen=True)
class Respell:
    """Every identifier that begins with `old` begins with `new`, in any target."""

    old: str
    new: str
    when: When = always

    def transformer(self) -> cst.CSTTransformer:
        """The rewrite of the payload."""
        return _Respell(self.old, self.new)


@dataclass(frozen=True)
class Drop:
    """The statement is left out wherever the payload has it."""

    statement: str
    when: When = always

    def transformer(self) -> cst.CSTTransformer:
        """The rewrite of the payload."""
        return _Drop(scopes.shape(self.statement))


@dataclass(frozen=True)
class AddParameter:
    """Every function called `function` takes `parameter` too, behind `after`."""

    function: str
    parameter: str
    after: str
    when: When = always

    def transformer(self) -> cst.CSTTransformer:
        """The rewrite of the payload."""
        return _AddParameter(self.function, self.parameter, self.after)


Adapt = Rename | Respell | Drop | AddParameter


def adapted(
    payload: cst.Module, adapt: Sequence[Adapt], target: cst.Module
) -> cst.Module:
    """The payload with every adaptation that `target` asks for."""
    for one in adapt:
        if one.when(target):
            payload = payload.visit(one.transformer())
    return payload


class _Rename(cst.CSTTransformer):
    def __init__(self, old: cst.BaseExpression, new: cst.BaseExpression) -> None:
        super().__init__()
        self._old = old
        self._new = new

    def on_leave(
        self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT
    ) -> cst.CSTNodeT | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNodeT]:
        if type(original_node) is type(self._old) and original_node.deep_equals(
            self._old
        ):
            return self._new  # type: ignore[return-value]
        return super().on_leave(original_node, updated_node)


class _Respell(cst.CSTTransformer):
    def __init__(self, old: str, new: str) -> None:
        super().__init__()
        self._old = old
        self._new = new

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        if not original_node.value.startswith(self._old):
            return updated_node
        value = self._new + original_node.value.removeprefix(self._old)
        return updated_node.with_changes(value=value)


class _Drop(cst.CSTTransformer):
    def __init__(self, statement: str) -> None:
        super().__init__()
        self._statement = statement

    def leave_SimpleStatementLine(
        self,
        original_node: cst.SimpleStatementLine,
        updated_node: cst.SimpleStatementLine,
    ) -> cst.SimpleStatementLine | cst.RemovalSentinel:
        if scopes.shape(original_node) == self._statement:
            return cst.RemoveFromParent()
        return updated_node

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body = updated_node.body
        if not body or scopes.shape(original_node.body[0]) != self._statement:
            return updated_node
        # What parted it from the next statement would now be a gap at the top.
        lines = [one for one in getattr(body[0], "leading_lines", ()) if one.comment]
        first = body[0].with_changes(leading_lines=lines)
        return updated_node.with_changes(body=(first, *body[1:]))


class _AddParameter(cst.CSTTransformer):
    def __init__(self, function: str, parameter: str, after: str) -> None:
        super().__init__()
        self._function = function
        self._new = _parameter(parameter)
        self._after = after

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        params = list(updated_node.params.params)
        names = [param.name.value for param in params]
        if updated_node.name.value != self._function or self._after not in names:
            return updated_node
        # What follows a parameter breaks lines: the last stays the last.
        ends = [(param.comma, param.whitespace_after_param) for param in params]
        ends.insert(len(ends) - 1, ends[0])
        params.insert(names.index(self._after) + 1, self._new)
        fitted = [
            param.with_changes(comma=comma, whitespace_after_param=space)
            for param, (comma, space) in zip(params, ends, strict=True)
        ]
        return updated_node.with_changes(
            params=updated_node.params.with_changes(params=fitted)
        )


def _parameter(text: str) -> cst.Param:
    function = cst.parse_statement(f"def function({text}): ...")
    assert isinstance(function, cst.FunctionDef)
    return function.params.params[0]
