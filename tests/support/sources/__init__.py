"""The functions the sandbox suite runs: one module per language, the same names in each."""

from types import ModuleType

from support.sources import node, python

SOURCES: dict[str, ModuleType] = {"python": python, "node": node}
