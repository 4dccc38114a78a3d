"""Reads the members of discord.py's classes, and the meaning of their annotations, from its source.

Objects do not tell: attributes set in ``__init__`` are annotated there alone, and overloads are gone at run
time. Annotations are evaluated in the namespace of their module, with its imports for type checkers. Not
guaranteed: any other library. This module knows discord.py's habits: cached slot properties, class bodies
with ``if TYPE_CHECKING``, aliases of methods.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ForwardRef

import discord

__all__ = ["Attribute", "FunctionNode", "Member", "Method", "Property", "Scope", "members", "scope_of"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

PROPERTIES = ("property", "cached_property", "cached_slot_property")


@dataclass
class Attribute:
    """A value. ``annotation`` is ``None`` where discord.py has none."""

    name: str
    annotation: ast.expr | None


@dataclass
class Property:
    """A property, with its setter if it has one."""

    name: str
    getter: FunctionNode
    setter: FunctionNode | None = None


@dataclass
class Method:
    """A function: its overloads, or itself."""

    name: str
    signatures: list[FunctionNode]
    kind: str = ""  # "classmethod", "staticmethod"
    overloaded: bool = False


Member = Attribute | Property | Method


@dataclass
class Scope:
    """The names of one module, as a type checker sees them."""

    module: ModuleType
    names: dict[str, Any]
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)

    def evaluate(self, annotation: ast.expr) -> Any:
        """The type object that an annotation means.

        :raises NameError: it uses a name that nothing defines.
        """
        value: Any = ast.unparse(annotation)
        while isinstance(value, str):
            value = eval(value, {}, _Fallback(self.names))
        return value

    def resolve(self, reference: ForwardRef) -> Any:
        """The type that a quoted name in an alias means. The alias may come from another module."""
        return eval(reference.__forward_arg__, {}, _Fallback(self.names))


class _Fallback(dict[str, Any]):
    """A module's names, then all of discord.py's, for aliases written in another module."""

    def __missing__(self, name: str) -> Any:
        if not hasattr(builtins, name):
            for scope in _scopes().values():
                if name in scope.names:
                    return scope.names[name]
        raise KeyError(name)


def scope_of(module_name: str) -> Scope:
    """A module's names and classes, also those for type checkers only."""
    return _scopes()[module_name]


@functools.cache
def _scopes() -> dict[str, Scope]:
    """The modules of discord.py, without extensions and the shapes of payloads."""
    found = [info.name for info in pkgutil.walk_packages(discord.__path__, "discord.")]
    skipped = ("discord.ext", "discord.types", "discord.__main__")
    names = ["discord", *(name for name in found if not name.startswith(skipped))]
    scopes = {}
    pending: list[tuple[Scope, ast.stmt]] = []
    for name in names:
        module = importlib.import_module(name)
        scope = scopes[name] = Scope(module, dict(vars(module)))
        for node in ast.parse(inspect.getsource(module)).body:
            inner: list[ast.stmt] = [node]
            if isinstance(node, ast.If) and _is_type_checking(node):
                inner = node.body
                pending += [(scope, statement) for each in inner for statement in _single(each)]
            scope.classes |= {each.name: each for each in inner if isinstance(each, ast.ClassDef)}
    # In rounds, since a statement may need the names of another module's.
    while True:
        left = [(scope, node) for scope, node in pending if not _define(scope, node, scopes)]
        if len(left) == len(pending):
            return scopes
        pending = left


def _single(node: ast.stmt) -> Iterator[ast.stmt]:
    """Splits an import into single names, so that one that fails does not cost the others."""
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node)
    else:
        yield node


def _define(scope: Scope, node: ast.stmt, scopes: Mapping[str, Scope]) -> bool:
    """Runs one statement for type checkers. False if it can't run yet."""
    names = scope.names
    if isinstance(node, ast.ImportFrom) and node.level:
        alias = node.names[0]
        home = importlib.util.resolve_name("." * node.level + (node.module or ""), names["__package__"])
        if home.startswith("discord.types."):
            # The shapes of payloads import each other in circles and can't be loaded; names are enough.
            names[alias.asname or alias.name] = type(alias.name, (dict,), {"__module__": home})
            return True
        if home in scopes and alias.name in scopes[home].names:
            names[alias.asname or alias.name] = scopes[home].names[alias.name]
            return True
    future = [ast.parse("from __future__ import annotations").body[0]]
    code = compile(ast.Module([*future, node], type_ignores=[]), "<type checking>", "exec")
    try:
        exec(code, names)
    except (ImportError, NameError, TypeError):
        return False
    return True


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def members(node: ast.ClassDef) -> list[Member]:
    """A class's own public members and operators, in the source's order, attributes first."""
    attributes: dict[str, Attribute] = {}
    others: dict[str, Property | Method] = {}
    for statement in _statements(node):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            _note(attributes, statement.target.id, statement.annotation)
        elif isinstance(statement, ast.Assign):
            _alias(statement, others, attributes)
        elif isinstance(statement, FunctionNode):
            _note_function(statement, others)
            for name, annotation in _assigned(statement):
                _note(attributes, name, annotation)
    listed = [attribute for name, attribute in attributes.items() if name not in others]
    return [*listed, *others.values()]


def _statements(node: ast.ClassDef) -> Iterator[ast.stmt]:
    for statement in node.body:
        if _is_type_checking(statement):
            assert isinstance(statement, ast.If)
            yield from statement.body
        else:
            yield statement


def _note(attributes: dict[str, Attribute], name: str, annotation: ast.expr | None) -> None:
    known = attributes.get(name)
    if known is None:
        attributes[name] = Attribute(name, annotation)
    elif known.annotation is None:
        known.annotation = annotation


def _alias(
    statement: ast.Assign, others: dict[str, Property | Method], attributes: Mapping[str, Attribute]
) -> None:
    """``accent_color = accent_colour``"""
    if isinstance(statement.value, ast.Name) and isinstance(statement.targets[0], ast.Name):
        original = others.get(statement.value.id)
        name = statement.targets[0].id
        if isinstance(original, Property):
            others[name] = Property(name, original.getter, original.setter)
        elif isinstance(original, Method):
            others[name] = Method(name, original.signatures, original.kind, original.overloaded)


def _note_function(node: FunctionNode, others: dict[str, Property | Method]) -> None:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    bare = {decorator.split("(")[0].removeprefix("utils.") for decorator in decorators}
    if bare & set(PROPERTIES):
        others[node.name] = Property(node.name, node)
        return
    if f"{node.name}.setter" in decorators:
        known = others[node.name]
        assert isinstance(known, Property)
        known.setter = node
        return
    kind = next((name for name in ("classmethod", "staticmethod") if name in bare), "")
    before = others.get(node.name)
    if "overload" in bare:
        if isinstance(before, Method) and before.overloaded:
            before.signatures.append(node)
        else:
            others[node.name] = Method(node.name, [node], kind, overloaded=True)
    elif not (isinstance(before, Method) and before.overloaded):
        others[node.name] = Method(node.name, [node], kind)


def _assigned(function: FunctionNode) -> Iterator[tuple[str, ast.expr | None]]:
    """The attributes of ``self`` that a method sets."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    if not parameters:
        return
    own = parameters[0].arg
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign):
            targets, annotation = [node.target], node.annotation
        elif isinstance(node, ast.Assign):
            targets, annotation = list(node.targets), None  # type: ignore[arg-type]
        else:
            continue
        for target in targets:
            for part in ast.walk(target):
                if (
                    isinstance(part, ast.Attribute)
                    and isinstance(part.ctx, ast.Store)
                    and isinstance(part.value, ast.Name)
                    and part.value.id == own
                ):
                    yield part.attr, annotation
