"""Packages in which a file is known by being there."""

from importlib import import_module
from pkgutil import iter_modules


def discover(package: str) -> None:
    """Import every module of a package, in alphabetical order, so that each has registered what it holds."""
    for module in sorted(found.name for found in iter_modules(import_module(package).__path__)):
        import_module(f"{package}.{module}")
