"""Finds the names that a module may define, by reading its source without running it.

In doubt a name counts as defined: a handler taken for a program would return nothing to its caller, while the author of
a program taken for a handler sees an error. In doubt are names that are not written out: star imports, exec, and
changes of the module or its dictionary other than by assignment.
"""

from __future__ import annotations

import re

_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST, without importing the module `ast`

_SCOPES = {"FunctionDef", "AsyncFunctionDef", "ClassDef", "Lambda"}  # their bodies bind names of their own
_NAMED_BY = {
    "FunctionDef": "name", "AsyncFunctionDef": "name", "ClassDef": "name",
    "ExceptHandler": "name", "MatchAs": "name", "MatchStar": "name", "MatchMapping": "rest",
}  # fmt: skip

# Statements that only define. A program that shows a result has others: it prints, or calls what does.
_IDLE = {"FunctionDef", "AsyncFunctionDef", "ClassDef", "Import", "ImportFrom", "Assign", "AnnAssign"}

_DICTIONARY_ATTRIBUTES = {"f_globals", "f_locals", "__globals__"}
_READING_METHODS = {"copy", "get", "items", "keys", "values", "pop", "__contains__", "__getitem__"}
# Functions that only read a module or dictionary passed to them.
_READERS = {
    "dict", "dir", "eval", "frozenset", "getattr", "getmembers", "hasattr", "id", "isinstance", "iter", "len", "list",
    "pprint", "print", "repr", "set", "sorted", "str", "timeit", "tuple", "type",
}  # fmt: skip
_READ_KEYWORDS = {None, "globals", "globalns", "locals", "localns"}  # None = **

# Without one of these, and of the names themselves, a source need not be looked at: most large ones have none.
_HINTS = (
    rb"import[\s\\]*\*|exec|globals|vars|locals|modules|setattr|_dict_|__getattr__|__import__|import_module|getmodule"
)


def may_define(source: bytes, path: str, module: str, names: tuple) -> bool:
    """Return whether importing the source as `module` may bind one of the names. SyntaxError where it is no Python."""
    tree = compile(source, path, "exec", _ONLY_AST, dont_inherit=True)
    if any(not _names_bound(statement).isdisjoint(names) for statement in tree.body):
        return True  # as nearly every handler is defined
    texts = [name.encode() for name in (*names, f"import {module}")]
    if source.isascii() and not any(text in source for text in texts) and not re.search(_HINTS, source):
        return False
    return _Reader(module, names).finds(tree)


def only_functions(source: bytes, path: str) -> list:
    """List the functions of a source that does nothing but define when it is run, so that it cannot be a program."""
    tree = compile(source, path, "exec", _ONLY_AST, dont_inherit=True)
    idle = all(_kind(one) in _IDLE or _kind(getattr(one, "value", None)) == "Constant" for one in tree.body)
    return [one.name for one in tree.body if _kind(one) in {"FunctionDef", "AsyncFunctionDef"}] if idle else []


class _Reader:
    """Looks at every node of a module's syntax tree, knowing the node it hangs from."""

    def __init__(self, module: str, names: tuple) -> None:
        self._names = {*names, "__getattr__"}  # which answers for any other
        self._module = module
        self._selves = set()  # variables that hold the module itself

    def finds(self, tree) -> bool:  # noqa: ANN001 - an ast.Module
        for node, _, _ in _walk(tree):
            self._selves.update(self._names_of_module(node))
        return any(self._binds(node, parent, outside) for node, parent, outside in _walk(tree))

    def _binds(self, node, parent, outside) -> bool:  # noqa: ANN001
        if _kind(node) == "Global":
            return not self._names.isdisjoint(node.names)
        return (
            (outside and self._spells(node, parent))
            or (_kind(node) == "Call" and self._calls(node, outside))
            or (self._escapes(node, parent) if self._is_module(node) else self._is_written(node, parent, outside))
        )

    def _spells(self, node, parent) -> bool:  # noqa: ANN001
        """Return whether a node at module level spells the name it binds, and it is one of ours."""
        if _kind(node) == "Name" and node.id in {"exec", "globals"} and not _is_called(node, parent):
            return True  # under another name it cannot be followed
        if _kind(parent) == "AnnAssign" and parent.value is None:
            return False  # only annotated
        bound = _names_bound(node)
        return "*" in bound or not self._names.isdisjoint(bound)

    def _calls(self, node, outside) -> bool:  # noqa: ANN001
        """Return whether a call binds by itself: exec, or setattr on the module."""
        given = node.args
        if _is_builtin(node.func, "exec") and given:
            named = [keyword.value for keyword in node.keywords if keyword.arg == "globals"]
            where = [*given[1:2], *named]
            here = any(self._is_dictionary(one, outside) for one in where) if where else outside
            return here and self._may_say(given[0], within=True)
        is_setting = _is_builtin(node.func, "setattr") and len(given) > 1 and self._is_module(given[0])
        return is_setting and self._may_say(given[1])

    def _escapes(self, node, parent) -> bool:  # noqa: ANN001
        """Return whether the module is changed or replaced here, or handed to a function that may change it."""
        if _kind(parent) == "Attribute":
            changed = _is_stored(parent) and parent.attr in {*self._names, "__class__"}
            return changed or parent.attr == "__setattr__"
        return (_kind(node) == "Subscript" and _is_stored(node)) or self._is_handed_over(node, parent)

    def _is_written(self, node, parent, outside) -> bool:  # noqa: ANN001
        """Return whether the module's dictionary is changed here, or handed to a function that may change it."""
        if not self._is_dictionary(node, outside):
            return False
        if _kind(parent) == "Subscript":
            return _is_stored(parent) and self._may_say(parent.slice)
        if _kind(parent) == "Attribute":
            return parent.attr not in _READING_METHODS
        kept = _kind(parent) in {"Assign", "AnnAssign", "AugAssign", "NamedExpr", "Return"}
        return kept or self._is_handed_over(node, parent)

    def _is_handed_over(self, node, parent) -> bool:  # noqa: ANN001
        if _kind(parent) == "keyword":
            return parent.arg not in _READ_KEYWORDS
        handed = _kind(parent) == "Call" and node is not parent.func
        return handed and _last_name(parent.func) not in {*_READERS, "globals", "vars", "exec", "setattr"}

    def _may_say(self, text, *, within: bool = False) -> bool:  # noqa: ANN001
        """Return whether an expression's value may be one of the names, or have it within."""
        if _kind(text) != "Constant":
            return True
        return any(name in str(text.value) if within else name == text.value for name in self._names)

    def _is_module(self, node) -> bool:  # noqa: ANN001
        """Return whether an expression is the module itself, by one of the usual ways to get at it."""
        kind = _kind(node)
        if kind == "Name":
            return node.id in self._selves
        if kind == "NamedExpr":
            return self._is_module(node.value)
        if kind == "Subscript":
            return _last_name(node.value) == "modules" and self._is_own_name(node.slice)
        if kind != "Call":
            return False
        callee = _last_name(node.func)
        imported = callee in {"import_module", "__import__"} and node.args and self._is_own_name(node.args[0])
        return bool(imported) or callee == "getmodule"

    def _is_own_name(self, node) -> bool:  # noqa: ANN001
        return getattr(node, "id", None) == "__name__" or getattr(node, "value", None) == self._module

    def _is_dictionary(self, node, outside) -> bool:  # noqa: ANN001
        """Return whether an expression is the module's dictionary."""
        if _kind(node) == "Attribute":
            return node.attr in _DICTIONARY_ATTRIBUTES or (node.attr == "__dict__" and self._is_module(node.value))
        if _kind(node) != "Call":
            return False
        if _is_builtin(node.func, "vars") and node.args:
            return self._is_module(node.args[0])
        here = any(_is_builtin(node.func, name) for name in ("vars", "locals"))  # a function has its own
        return _is_builtin(node.func, "globals") or (here and outside)

    def _names_of_module(self, node) -> list:  # noqa: ANN001
        """List the variables that a node makes hold the module itself."""
        kind = _kind(node)
        if kind == "Import":
            return [alias.asname or alias.name for alias in node.names if alias.name == self._module]
        if kind not in {"Assign", "AnnAssign", "NamedExpr"} or not self._is_module(node.value):
            return []
        targets = node.targets if kind == "Assign" else [node.target]
        return [target.id for target in targets if _kind(target) == "Name"]


def _walk(tree):  # noqa: ANN001, ANN202 - yields each node, its parent, and whether it is at module level
    """Go through a tree with a stack of our own: a long sum nests deeper than Python may recurse."""
    stack = [(tree, None, True)]
    while stack:
        node, parent, outside = stack.pop()
        yield node, parent, outside
        for field in node._fields:
            if field == "body" and _is_main_guard(node):
                continue  # importing the module does not run it
            if field == "target" and _kind(node) == "comprehension":
                continue  # a variable of its own
            inside = field == "body" and _kind(node) in _SCOPES
            value = getattr(node, field, None)
            children = value if isinstance(value, list) else [value]
            stack.extend((child, node, outside and not inside) for child in children if hasattr(child, "_fields"))


def _names_bound(node) -> set:  # noqa: ANN001
    """Collect the names that a node binds where it stands, and those that it says are bound. `*` = any."""
    kind = _kind(node)
    if kind in _NAMED_BY:
        return {getattr(node, _NAMED_BY[kind])}
    if kind in {"Import", "ImportFrom"}:
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if kind == "Name" and _is_stored(node):
        return {node.id}
    if kind == "Assign" and any(getattr(target, "id", "") == "__all__" for target in node.targets):
        return {getattr(entry, "value", "") for entry in getattr(node.value, "elts", ())}
    return set()


def _is_main_guard(node) -> bool:  # noqa: ANN001
    """Return whether a node is `if __name__ == "__main__"`, alone or with further conditions."""
    if _kind(node) != "If":
        return False
    test = node.test
    conditions = test.values if _kind(test) == "BoolOp" and _kind(test.op) == "And" else [test]
    return any(
        _kind(one) == "Compare"
        and _kind(one.ops[0]) == "Eq"
        and {getattr(side, "id", getattr(side, "value", None)) for side in (one.left, one.comparators[0])}
        == {"__name__", "__main__"}
        for one in conditions
    )


def _kind(node) -> str:  # noqa: ANN001
    return type(node).__name__


def _is_stored(node) -> bool:  # noqa: ANN001
    return _kind(node.ctx) == "Store"


def _is_called(node, parent) -> bool:  # noqa: ANN001
    return _kind(parent) == "Call" and parent.func is node


def _is_builtin(node, name: str) -> bool:  # noqa: ANN001
    """Return whether an expression is the builtin function `name`."""
    if _kind(node) == "Attribute":
        return node.attr == name and getattr(node.value, "id", "") in {"builtins", "__builtins__"}
    return getattr(node, "id", "") == name


def _last_name(node) -> str:  # noqa: ANN001
    """`g` of g, and of f.g."""
    return getattr(node, "id", getattr(node, "attr", ""))
