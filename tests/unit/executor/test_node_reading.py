"""What the Node runtime reads out of a source: a module with a handler, or a program."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

READING = Path(__file__).parents[3] / "services/executor/runtime/node/reading.js"

HANDLERS = [
    "exports.handler = async () => 1",
    "module.exports.handler = 1",
    "exports . handler = 1",
    "exports['handler'] = 1",
    "exports.handler = void 0; exports.handler = work;",
    "Object.defineProperty(exports, 'handler', { enumerable: true, get: work });",
    "__export(main_exports, { handler: () => handler });\nmodule.exports = __toCommonJS(main_exports);",
    "module.exports = { handler }",
    "module.exports = { one: { two }, async handler(event) {} }",
    "module.exports = { 'handler': work }",
    "module.exports = { ...require('./other') }",
    "module.exports = require('./other')",
    "module.exports = class {}",
    "Object.assign(exports, require('./other'))",
    "export const handler = 1",
    "export async function handler() {}",
    "export function* handler() {}",
    "export { handler }",
    "export { one, work as handler } from './other.mjs'",
    "export * from './other.mjs'",
    "export default { handler }",
    "export const { handler } = middy(work)",
    "export const one = 1, handler = 2",
    "const quote = /['\"`]/; exports.handler = 1; // it's `fine`",
    "const half = a / b / c; exports.handler = 1",
    "const text = `${'`'}`; exports.handler = 1",
    "/* a program? */ exports.handler = 1 /* no */",
]
PROGRAMS = [
    "",
    "console.log(1)",
    "function handler() {}\nhandler()",
    "const handler = () => 1; console.log(handler())",
    "// exports.handler = 1\nmain()",
    "/* export const handler = 1 */ main()",
    "console.log('exports.handler = 1')",
    "console.log(`\nexport const handler = 1\n`)",
    "exports.main = 1",
    "module.exports = { main, other: { handlers: 1 } }",
    "if (module.exports === other) main()",
    "export const handlers = 1",
    "export { handler as other }",
    "import { handler } from './other.mjs'; console.log(handler())",
    "const { handler } = require('./other'); console.log(handler())",
    "const pattern = /exports.handler = 1/; main()",
]


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("node is not installed")
    return found


def test_a_handler_is_told_from_a_program(node: str) -> None:
    script = f"const {{ exportsHandler }} = require({json.dumps(str(READING))});"
    script += "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(exportsHandler)));"
    sources = HANDLERS + PROGRAMS

    said = subprocess.run([node, "-e", script], input=json.dumps(sources), capture_output=True, text=True, check=True)

    wrong = [
        source
        for source, is_handler in zip(sources, json.loads(said.stdout), strict=True)
        if is_handler != (source in HANDLERS)
    ]
    assert wrong == []
