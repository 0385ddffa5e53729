"""Which files of the library a piece of code can reach, told from the source alone.

A page runs again only if code that it can reach has changed. Where the source does not tell, more is taken
rather than less: a room that is imported as a whole, or asked for a name that its ``__init__`` does not bind,
counts with all its files; and a file that acts on another when it is imported (registers a model there,
derives a class from it) counts wherever that other does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "stm_core"
_DOTTED = re.compile(rf"{PACKAGE}(?:\.\w+)+")  # a module named in a string, as `importlib` takes it

Name = tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """What a file imports, which names that binds, which names it defines, and which it acts on."""

    imports: frozenset[Name]
    bound: dict[str, frozenset[Name]]
    defined: frozenset[str]
    acts_on: frozenset[Name]


class _Imports(ast.NodeVisitor):
    """Dotted names that code asks for, wherever the import stands."""

    def __init__(self, package: Name) -> None:
        self.package = package
        self.asked: set[Name] = set()
        self.bound: dict[str, set[Name]] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = tuple(alias.name.split("."))
            # `import stm_core` alone asks for what is taken from it by a dot: see visit_Attribute.
            self.asked |= {name} if alias.asname or len(name) > 1 else set()
            self._bind(alias.asname or name[0], name if alias.asname else name[:1])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else ()
        module = (*base, *(node.module.split(".") if node.module else ()))
        for alias in node.names:
            self.asked.add((*module, alias.name))
            self._bind(alias.asname or alias.name, (*module, alias.name))

    def _bind(self, local: str, name: Name) -> None:
        self.bound.setdefault(local, set()).add(name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = ast.unparse(node)
        if dotted.startswith(f"{PACKAGE}.") and _DOTTED.fullmatch(dotted):
            self.asked.add(tuple(dotted.split(".")))
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.asked |= {(PACKAGE,)} if node.id == PACKAGE else set()

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring names modules without asking for them
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            self.asked.add(tuple(node.value.split(".")))


def _acting(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Parts of the code that may act on what was imported, while the file itself is being imported."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from node.decorator_list
            yield from (*node.bases, *_acting(node.body)) if isinstance(node, ast.ClassDef) else ()
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target for target in targets if not isinstance(target, ast.Name | ast.Tuple))
            yield from _called(node.value)
        elif hasattr(node, "body"):  # of an if, a loop, a with, a try or one of its handlers
            yield from _acting(node.body)
            yield from _acting(getattr(node, "orelse", ()))
            yield from _acting(getattr(node, "handlers", ()))
            yield from _acting(getattr(node, "finalbody", ()))
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def _called(value: ast.AST | None) -> Iterator[ast.AST]:
    """Functions called for a value; a class called for one makes an object and acts on nothing else."""
    for node in ast.walk(value) if value is not None else ():
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id[0].isupper()):
            yield node.func


@cache
def _read(code: str, package: Name = ()) -> _Source:
    tree = ast.parse(code)
    found = _Imports(package)
    found.visit(tree)
    used = {n.id for part in _acting(tree.body) for n in ast.walk(part) if isinstance(n, ast.Name)}
    defined = {name for node in tree.body for name in _defined(node)}
    bound = {local: frozenset(names) for local, names in found.bound.items()}
    starred = bound.pop("*", frozenset())
    acts_on = frozenset(name for local in used for name in bound.get(local, starred))
    return _Source(frozenset(found.asked), bound, frozenset(defined), acts_on)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


class Library:
    """The library below ``root`` as a graph of files."""

    def __init__(self, root: Path) -> None:
        self.paths: dict[Name, Path] = {}
        self.sources: dict[Name, _Source] = {}
        for path in sorted((root / PACKAGE).rglob("*.py")):
            is_room = path.name == "__init__.py"
            parts = path.relative_to(root).parent.parts
            name = parts if is_room else (*parts, path.stem)
            self.paths[name] = path
            self.sources[name] = _read(path.read_text(encoding="utf-8"), parts)
        self.acting: dict[Name, set[Name]] = {}
        for actor, source in self.sources.items():
            for name in source.acts_on:
                for module in self._meant(name, set()):
                    self.acting.setdefault(module, set()).add(actor)

    def reached_by(self, code: str) -> list[Path]:
        """Files that ``code`` imports, directly or through others, wherever the import stands.

        Raises
        ------
        SyntaxError
            If it is not Python.
        """
        followed: set[Name] = set()
        seen: set[Name] = set()
        waiting = list(_read(code).imports)
        while waiting:
            for module in set(self._meant(waiting.pop(), seen)) - followed:
                followed.add(module)
                waiting += [*self.sources[module].imports, *self.acting.get(module, ())]
        # A room's __init__ says which file a name is taken from, so it counts, though not all it imports.
        rooms = {name[:depth] for name in followed | seen for depth in range(1, len(name) + 1)}
        return sorted(self.paths[name] for name in followed | (rooms & set(self.paths)))

    def _meant(self, name: Name, seen: set[Name]) -> Iterator[Name]:
        """Modules to follow for an imported name, those of names ``seen`` before excepted."""
        if name[0] != PACKAGE or name in seen:
            return
        seen.add(name)
        for depth in range(1, len(name) + 1):
            module, rest = name[:depth], name[depth:]
            if module not in self.paths:
                return
            if self.paths[module].name != "__init__.py":
                yield module
                return
            if not rest:
                yield from self._whole(module)
                return
            source, inner = self.sources[module], (*module, rest[0])
            if rest[0] in source.defined:
                yield module
            for bound in source.bound.get(rest[0], ()):
                yield from self._meant(bound, seen)
            if inner not in self.paths:
                if rest[0] not in source.defined and rest[0] not in source.bound:
                    yield from self._whole(module)
                return

    def _whole(self, room: Name) -> Iterator[Name]:
        return (name for name in self.paths if name[: len(room)] == room)
