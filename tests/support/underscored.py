"""Finds in the sources which underscored names distributions use of each other."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


def is_private(name: str) -> bool:
    """Whether `name` is private: it has exactly one leading underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


@dataclass
class Module:
    """A parsed file.

    Attributes:
        dist: the distribution that it belongs to.
        imports: the module, name and line of each `from` import, by its local name.
    """

    dist: str
    name: str
    path: Path
    tree: ast.Module
    imports: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    @functools.cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}


@dataclass(frozen=True)
class Use:
    """A use of a name of another distribution.

    Attributes:
        owner: the distribution that defines the name.
    """

    name: str
    owner: str
    path: Path
    line: int


def parsed(sources: Mapping[str, Path]) -> list[Module]:
    """Return the parsed modules in the folder of each distribution."""
    modules = []
    for dist, root in sources.items():
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            package = parts[:-1]
            name = ".".join(package if parts[-1] == "__init__" else parts)
            module = Module(dist, name, path, ast.parse(path.read_text(encoding="utf-8")))
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ImportFrom):
                    start = package[: len(package) - node.level + 1] if node.level else ()
                    source = ".".join([*start, *filter(None, [node.module])])
                    for one in node.names:
                        module.imports[one.asname or one.name] = (source, one.name, node.lineno)
            modules.append(module)
    return modules


def defined_in(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names that functions, classes and assignments in `body` bind at its level."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (one.id for one in targets if isinstance(one, ast.Name))


@functools.cache
def members(cls: ast.ClassDef) -> set[str]:
    """Return the attributes of a class, including those that its methods assign to `self`."""
    assigned = {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return {*defined_in(cls.body), *assigned}


class Sources:
    """The sources of several distributions, and their uses of each other's names."""

    def __init__(self, sources: Mapping[str, Path]) -> None:
        self.modules = parsed(sources)
        self.named = {module.name: module for module in self.modules}
        self.names: dict[str, set[str]] = {dist: set() for dist in sources}
        for module in self.modules:
            names = self.names[module.dist]
            names.update(defined_in(module.tree.body))
            names.update(name for cls in module.classes.values() for name in members(cls))

    def uses(self) -> list[Use]:
        """Return the uses of underscored names across distributions."""
        return [use for module in self.modules for use in self._uses_of(module)]

    def _uses_of(self, module: Module) -> Iterator[Use]:
        for source, name, line in module.imports.values():
            owner = self.named.get(source)
            if owner is not None and owner.dist != module.dist:
                for part in (*source.split("."), name):
                    if is_private(part):
                        yield Use(part, owner.dist, module.path, line)
        seen: set[ast.AST] = set()
        for cls in module.classes.values():
            chain = self._ancestry(module, cls)
            for name in filter(is_private, members(cls)):
                owners = [of.dist for of, base in chain[1:] if name in members(base)]
                if owners and module.dist not in owners:
                    yield Use(name, owners[0], module.path, cls.lineno)
            for node in ast.walk(cls):
                if isinstance(node, ast.Attribute) and _is_own(node):
                    seen.add(node)
                    yield from self._foreign(node, module, chain)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node not in seen:
                known = self._class_of(module, node.value)
                yield from self._foreign(node, module, self._ancestry(*known) if known else [])

    def _foreign(
        self, node: ast.Attribute, module: Module, chain: list[tuple[Module, ast.ClassDef]]
    ) -> Iterator[Use]:
        """Yield the use if `node` is a private attribute that another distribution defines."""
        if not is_private(node.attr):
            return
        owners = [of.dist for of, cls in chain if node.attr in members(cls)]
        if not owners:
            owners = [dist for dist, names in self.names.items() if node.attr in names]
        if owners and module.dist not in owners:
            yield Use(node.attr, owners[0], module.path, node.lineno)

    def _class_of(self, module: Module, node: ast.AST) -> tuple[Module, ast.ClassDef] | None:
        """Return the class that an expression names and its module, or None."""
        if isinstance(node, ast.Subscript):
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        if node.id in module.classes:
            return module, module.classes[node.id]
        source, name, _ = module.imports.get(node.id, ("", "", 0))
        origin = self.named.get(source)
        known = origin not in (None, module)
        return self._class_of(origin, ast.Name(name)) if known else None

    def _ancestry(self, module: Module, cls: ast.ClassDef) -> list[tuple[Module, ast.ClassDef]]:
        """Return a class and all its bases, each with its module."""
        bases = filter(None, (self._class_of(module, base) for base in cls.bases))
        return [(module, cls), *(one for base in bases for one in self._ancestry(*base))]


def _is_own(node: ast.Attribute) -> bool:
    """Whether `node` is an attribute of `self`, `cls` or `super()`."""
    value = node.value
    if isinstance(value, ast.Call):
        value = value.func
        return isinstance(value, ast.Name) and value.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")
