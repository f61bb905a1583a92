"""A Python module's source tells if it may define its handler, and in doubt it does."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import services.executor

_RUNTIME = Path(services.executor.__file__).parent / "runtime/python/nanogrid_runtime"


@pytest.fixture(scope="module")
def definitions() -> ModuleType:
    """The runtime's own module, which nothing but a sandbox's Python imports."""
    spec = importlib.util.spec_from_file_location("definitions", _RUNTIME / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def may_define(definitions: ModuleType, source: str) -> bool:
    return bool(definitions.may_define(source.encode(), "main.py", "main", ("handler", "lambda_handler")))


SPELT = [
    "def handler(event, context): pass",
    "async def handler(event, context): pass",
    "def lambda_handler(event, context): pass",
    "@app.route('/')\ndef handler(event, context): pass",
    "class handler: pass",
    "handler = lambda event, context: 1",
    "a = handler = f",
    "a, (b, *handler) = f",
    "handler: object = f",
    "handler += f",
    "(handler := f)",
    "print([handler := g for g in f])",
    "print(x if (handler := f) else y)",
    "import handler",
    "import pkg.core as handler",
    "import handler.core",
    "from impl import handler",
    "from impl import work as handler",
    "if DEBUG:\n    def handler(event, context): pass",
    "if DEBUG:\n    pass\nelif TEST:\n    pass\nelse:\n    handler = f",
    "try:\n    from fast import handler\nexcept ImportError:\n    from slow import handler",
    "try:\n    pass\nfinally:\n    handler = f",
    "with open('x') as handler:\n    pass",
    "with lock:\n    def handler(event, context): pass",
    "for handler in f:\n    pass",
    "while not ready():\n    handler = f",
    "try:\n    pass\nexcept E as handler:\n    pass",
    "match f:\n    case {'a': handler}:\n        pass",
    "match f:\n    case [*handler]:\n        pass",
    "match f:\n    case {**handler}:\n        pass",
    "if __name__ == '__main__':\n    pass\nelse:\n    handler = f",
    "if __name__ != '__main__':\n    handler = f",
    "def handler(event, context): pass\ndel handler",
    "\N{BYTE ORDER MARK}def handler(event, context): pass",
]

DOUBTFUL = [
    "from impl import *",
    "try:\n    from impl import *\nexcept ImportError:\n    pass",
    "if X:\n    with y:\n        for z in w:\n            from impl import *",
    "__all__ = ['handler']\ninstall()",
    "def __getattr__(name): return f",
    "__getattr__ = f",
    "from lazy import __getattr__",
    "globals()['handler'] = f",
    "globals()['hand' + 'ler'] = f",
    "for name in names:\n    globals()[name] = f",
    "globals().update(handler=f)",
    "globals().update(vars(impl))",
    "globals().setdefault('handler', f)",
    "globals().__setitem__('handler', f)",
    "def export(name, f):\n    globals()[name] = f\nexport('handler', g)",
    "vars()['handler'] = f",
    "locals()['handler'] = f",
    "names = globals()\nnames['handler'] = f",
    "where = globals\nwhere()['handler'] = f",
    "inject(globals())",
    "inject(namespace=globals())",
    "def export():\n    global handler\n    handler = f\nexport()",
    "class A:\n    global handler\n    handler = f",
    "setattr(sys.modules[__name__], 'handler', f)",
    "setattr(sys.modules[__name__], name, f)",
    "setattr(sys.modules['main'], 'handler', f)",
    "setattr(importlib.import_module(__name__), 'handler', f)",
    "setattr(__import__(__name__), 'handler', f)",
    "import main\nsetattr(main, 'handler', f)",
    "import main as me\nme.handler = f",
    "this = sys.modules[__name__]\nthis.handler = f",
    "this = sys.modules[__name__]\nsetattr(this, 'handler', f)",
    "(this := sys.modules[__name__]).__dict__['handler'] = f",
    "sys.modules[__name__].handler = f",
    "sys.modules[__name__].__dict__['handler'] = f",
    "sys.modules[__name__].__dict__.update(handler=f)",
    "sys.modules[__name__].__setattr__('handler', f)",
    "sys.modules[__name__] = Lazy()",
    "sys.modules[__name__].__class__ = Lazy",
    "from sys import modules\nmodules[__name__] = Lazy()",
    "vars(sys.modules[__name__])['handler'] = f",
    "lazy_loader.attach(sys.modules[__name__])",
    "inspect.getmodule(f).handler = f",
    "inspect.currentframe().f_globals['handler'] = f",
    "f.__globals__['handler'] = f",
    "exec(open('impl.py').read())",
    "exec('def handler(event, context): pass')",
    "exec(code, globals())",
    "def run():\n    exec(code, globals())\nrun()",
    "builtins.exec(code)",
    "run = exec\nrun(code)",
    "builtins.globals()['handler'] = f",
    "from impl import \\\n    *",
    "\uff48andler = f",  # wide letters, which Python reads as narrow ones
]

PROGRAMS = [
    "",
    "print(1)",
    "def other(event, context): pass",
    "def main():\n    handler = f\nmain()",
    "def main(handler): pass",
    "main(handler=f)",
    "print(handler)",
    "handler: object",
    "class A:\n    handler = f\n    def lambda_handler(self): pass",
    "print([handler for handler in f], {handler: 1 for handler in f})",
    "lambda handler: (handler := 1)",
    "server.handler = f",
    "self.handlers['handler'] = f",
    "if __name__ == '__main__':\n    handler = logging.StreamHandler()",
    "if '__main__' == __name__:\n    def handler(): pass",
    "if __name__ == '__main__' and not TEST:\n    from impl import *",
    "'handler'\nnames = ['handler']\nprint({'handler': 1})",
    "__all__ = ['main']",
    "print(globals()['x'], globals().get('x'), 'x' in globals())",
    "for name, value in globals().items():\n    print(name)",
    "print(len(globals()), dict(globals()), '{x}'.format(**globals()))",
    "globals()['x'] = f",
    "timeit.timeit('f()', globals=globals())",
    "eval('1 + 1', globals(), locals())",
    "def f():\n    here = locals()\n    here['handler'] = 1\n    return vars()",
    "exec('x = 1')",
    "exec(code, {})",
    "exec(code, namespace)",
    "def f():\n    exec(code)",
    "cursor.exec('select 1')",
    "setattr(config, 'handler', f)",
    "setattr(sys.modules[__name__], 'x', f)",
    "logging.getLogger(__name__).handler = f",
    "print(sys.modules[__name__].__doc__, getattr(sys.modules[__name__], 'x'))",
    "sys.modules['other'] = f",
    "def f():\n    global x\n    x = 1",
    "class A:\n    def __getattr__(self, name): pass",
    "x = " + " + ".join(["1"] * 2000),
    "# handler\n" + "x = " + " + ".join(["1"] * 2000),
]


@pytest.mark.parametrize("source", SPELT)
def test_a_name_that_is_bound_at_module_level_is_defined(definitions: ModuleType, source: str) -> None:
    assert may_define(definitions, source)


@pytest.mark.parametrize("source", DOUBTFUL)
def test_a_name_that_may_be_bound_is_taken_to_be_defined(definitions: ModuleType, source: str) -> None:
    assert may_define(definitions, source)


@pytest.mark.parametrize("source", PROGRAMS)
def test_a_module_that_cannot_bind_the_name_is_a_program(definitions: ModuleType, source: str) -> None:
    assert not may_define(definitions, source)
