"""Finds in the source which arguments the steps of a pipeline class read from `self.call`.

It follows `self.name` and `super().name` from `__call__` on, and functions that receive the record
of arguments, as in `function(self.call)` and `Bundle.of(self.call)`. A dataclass with such an `of`
reads all its fields that the call has, and `self.call.items()` reads all arguments. A step may add
arguments for those after it, as in `self.call = self.call.replace(name=value)`.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reads:
    """The names of the arguments that are read.

    Attributes:
        needed: read as `call.name`, so that the call fails without them.
        wanted: read by `call.get("name")`, by a bundle, or by `call.items()`.
        added: set by a step, so that the call need not take them.
    """

    needed: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.needed | self.wanted


def parameters_of(cls: type[Any]) -> set[str]:
    """Return the parameters of a pipeline's call, except those that are read before any step."""
    return set(inspect.signature(cls.__call__).parameters) - {"self", "adapters", "cancellation"}


def reads_of(cls: type[Any]) -> Reads:
    """Return the arguments that a call of `cls` reads."""
    found, seen = Reads(), set()
    work: list[tuple[Any, str | None]] = [(cls.__dict__.get("__call__") or cls.__call__, None)]
    while work:
        function, record = work.pop()
        function = inspect.unwrap(function)
        if (function, record) in seen:
            continue
        seen.add((function, record))
        visitor = _Function(cls, function, record, found)
        work += visitor.reached
    return found


class _Function:
    """Analyses one function: what it reads, and which functions it reaches."""

    def __init__(self, cls: type[Any], function: Any, record: str | None, found: Reads) -> None:
        self.cls, self.function, self.found = cls, function, found
        self.records = {record} if record else set()
        self.reached: list[tuple[Any, str | None]] = []
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Assign):
                self._assign(node.targets[0], node.value)
        for node in nodes:
            if isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Call):
                self._call(node)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, given in zip(target.elts, value.elts):
                self._assign(one, given)
        elif isinstance(target, ast.Name) and self._is_record(value):
            self.records.add(target.id)
        elif ast.unparse(target) == "self.call" and isinstance(value, ast.Call):
            made = value.func
            if isinstance(made, ast.Attribute) and made.attr == "replace":
                self.found.added |= {one.arg for one in value.keywords if one.arg}

    def _is_record(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.records
        return ast.unparse(node) == "self.call"

    def _attribute(self, node: ast.Attribute) -> None:
        if self._is_record(node.value):
            if node.attr in ("items", "keys", "values"):
                self.found.wanted |= parameters_of(self.cls)
            elif node.attr not in ("get", "replace"):
                self.found.needed.add(node.attr)
        elif isinstance(node.value, ast.Name) and node.value.id == "self":
            self._reach(self.cls.__mro__, node.attr)
        elif ast.unparse(node.value) == "super()":
            own = self.function.__qualname__.split(".")[-2]
            names = [one.__name__ for one in self.cls.__mro__]
            self._reach(self.cls.__mro__[names.index(own) + 1 :], node.attr)

    def _reach(self, classes: Any, name: str) -> None:
        member = next((vars(one)[name] for one in classes if name in vars(one)), None)
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, functools.cached_property):
            member = member.func
        if inspect.isfunction(member) and not member.__module__.startswith("autopipe."):
            self.reached.append((member, None))

    def _call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr == "get":
            if self._is_record(called.value):
                name = node.args[0]
                assert isinstance(name, ast.Constant), "name what is read"
                self.found.wanted.add(str(name.value))
            return
        for place, argument in enumerate(node.args):
            if self._is_record(argument):
                self._handed(called, place)

    def _handed(self, called: ast.expr, place: int) -> None:
        """Process a call that passes the record to another function or to a bundle."""
        scope = self.function.__globals__
        if isinstance(called, ast.Attribute) and called.attr == "of":
            bundle = scope[ast.unparse(called.value)]
            self.found.wanted |= {one.name for one in dataclasses.fields(bundle)}
        elif isinstance(called, ast.Name) and inspect.isfunction(scope.get(called.id)):
            handed = scope[called.id]
            self.reached.append((handed, list(inspect.signature(handed).parameters)[place]))
        else:
            raise AssertionError(f"{ast.unparse(called)} gets the record: read it here instead")
