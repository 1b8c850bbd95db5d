"""The libcst steps that recipes are written in."""

from __future__ import annotations

from patcher.steps.adapt import (
    Adapt,
    Drop,
    HasGlobal,
    HasMethod,
    HasStatement,
    LacksGlobal,
    LacksMethod,
    Rename,
)
from patcher.steps.bodies import (
    AppendToBody,
    InsertAfter,
    InsertBefore,
    PrependToBody,
    ReplaceStatement,
)
from patcher.steps.checks import RequireKnown, RequireNeverRead
from patcher.steps.choice import Choose
from patcher.steps.cst.workspace import Conflict, RecipeError, Workspace
from patcher.steps.definitions import AddDefinitions, AddMethods
from patcher.steps.environ import AddEnvFlag
from patcher.steps.modules import AddModule

__all__ = [
    "Adapt",
    "AddDefinitions",
    "AddEnvFlag",
    "AddMethods",
    "AddModule",
    "AppendToBody",
    "Choose",
    "Conflict",
    "Drop",
    "HasGlobal",
    "HasMethod",
    "HasStatement",
    "InsertAfter",
    "InsertBefore",
    "LacksGlobal",
    "LacksMethod",
    "PrependToBody",
    "RecipeError",
    "Rename",
    "ReplaceStatement",
    "RequireKnown",
    "RequireNeverRead",
    "Workspace",
]
