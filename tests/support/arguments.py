"""Holds the signature of a call and what its steps read of its record together."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import autopipe.pipeline.call
from autopipe.pipeline.call import Arguments


def parameters(kind: type[Any]) -> set[str]:
    """The names that a call of `kind` takes."""
    return set(inspect.signature(kind.__call__).parameters) - {"self"}


@pytest.fixture
def arguments_read(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """For each record that is made from now on, the names that are read of it, by any way."""
    every: list[set[str]] = []

    class Watched(Arguments):
        def __init__(self, values: Any) -> None:
            super().__init__(values)
            every.append(set())
            self.__dict__["__read"] = every[-1]

        def __getattribute__(self, name: str) -> Any:
            values = object.__getattribute__(self, "__dict__")
            if name in values:
                values["__read"].add(name)
            return super().__getattribute__(name)

        def __getitem__(self, name: str) -> Any:
            self.__dict__["__read"].add(name)
            return super().__getitem__(name)

        def __iter__(self) -> Iterator[str]:
            return (name for name in self.__dict__ if name != "__read")

    monkeypatch.setattr(autopipe.pipeline.call, "Arguments", Watched)
    return every


def names_needed(kind: type[Any]) -> set[str]:
    """The names that the steps of a call of `kind` read as attributes of its record.

    Every branch counts, also one that is seldom taken. Followed from `__call__` are methods and
    properties of `self` and `super()`, and functions that get the record; it is `self.call`, and
    `call` for short.
    """
    needed: set[str] = set()
    seen: set[tuple[type[Any], str]] = set()
    ahead = [("__call__", 0)]
    while ahead:
        name, first = ahead.pop()
        found = [(i, c) for i, c in enumerate(kind.__mro__) if i >= first and name in vars(c)]
        if not found or (found[0][1], name) in seen:
            continue
        place, owner = found[0]
        seen.add((owner, name))
        if owner.__module__.startswith(("autopipe.", "builtins", "typing")):
            continue
        method = _method(owner, name)
        handed = [
            _source(getattr(inspect.getmodule(owner), node.func.id))
            for node in ast.walk(method)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and any(ast.unparse(one) == "self.call" for one in node.args)
        ]
        for node in (one for tree in (method, *handed) for one in ast.walk(tree)):
            if not isinstance(node, ast.Attribute):
                continue
            of = ast.unparse(node.value)
            if of in ("self.call", "call"):
                needed.add(node.attr)
            elif of in ("self", "super()"):
                ahead.append((node.attr, 0 if of == "self" else place + 1))
    return needed - set(dir(Arguments))


def _source(of: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(of)))


def _method(owner: type[Any], name: str) -> ast.AST:
    """The definition of a method or property in the source of `owner`; else nothing."""
    for node in _source(owner).body[0].body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    return ast.Pass()
