"""The libcst steps that recipes are written in."""

from __future__ import annotations

from patcher.steps.adapt import (
    Adapt,
    AddParameter,
    Drop,
    HasGlobal,
    HasMethod,
    HasStatement,
    LacksMethod,
    Rename,
    Respell,
)
from patcher.steps.bodies import (
    AppendToBody,
    InsertAfter,
    InsertBefore,
    PrependToBody,
)
from patcher.steps.checks import RequireKnown, RequireNeverRead, RequireReaders
from patcher.steps.choice import Choose, Once, Where
from patcher.steps.cst.workspace import Conflict, RecipeError, Step, Workspace
from patcher.steps.definitions import AddDefinitions, AddMethods
from patcher.steps.environ import AddEnvFlag
from patcher.steps.modules import AddFile, AddModule

__all__ = [
    "Adapt",
    "AddDefinitions",
    "AddEnvFlag",
    "AddFile",
    "AddMethods",
    "AddModule",
    "AddParameter",
    "AppendToBody",
    "Choose",
    "Conflict",
    "Drop",
    "HasGlobal",
    "HasMethod",
    "HasStatement",
    "InsertAfter",
    "InsertBefore",
    "LacksMethod",
    "Once",
    "PrependToBody",
    "RecipeError",
    "Rename",
    "RequireKnown",
    "RequireNeverRead",
    "RequireReaders",
    "Respell",
    "Step",
    "Where",
    "Workspace",
]
