"""Functions of the sandbox suite: one module per language, with the same names in each."""

from types import ModuleType

from support.sources import node, python

SOURCES: dict[str, ModuleType] = {"python": python, "node": node}
