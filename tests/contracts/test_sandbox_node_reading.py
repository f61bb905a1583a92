"""Node tells a handler's file from a program by reading it, with a parser and not by what the text looks like."""

import pytest

from services.executor.sandbox import Kind
from support.sandboxes import Bench

# The runtime's own reader, in the Node that it would run on.
READER = """
const path = require('node:path');
const { read } = require(path.join(path.dirname(require.main.filename), 'reading.js'));
exports.handler = (sources) => sources.filter((one) => read(one, ['script', 'module']).isProgram);
"""

HANDLERS = """
exports.handler = 1
exports.lambdaHandler = async () => 1
if (true) exports.handler = async () => 1
exports.a = 1, exports.handler = 2
this.handler = () => 1
(() => { this.handler = 1 })()
(function () { exports.handler = 1 })()
module["exports"][`handler`] = 1
module.exports = { handler() {} }
module.exports = { ...other }
module.exports = require("./x")
module.exports = async (event) => 1
module.exports = __toCommonJS(x)
0 && (module.exports = { handler })
exports = module.exports = { ...other }
const all = module.exports = {}; all.handler = 1
const all = exports; all.handler = 1
const m = module; m.exports = { handler() {} }
for (const name in all) exports[name] = all[name]
_export(exports, { handler: function () { return handler } })
__exportStar(require("./impl"), exports)
Object.assign(module.exports, require("./x"))
Object.defineProperties(exports, { handler: { value: 1 } })
Object.defineProperty(exports, "handler", { get() {} })
(function (root, make) { if (typeof exports === "object") make(exports); else make(root.x = {}) })(this, make)
eval("exports.handler = 1")
export { h as handler }; const h = 1
const h = () => 1; export { h as "handler" }
export const { handler } = make()
export * from "./x"
export default {}
const x = `${`a${`/*`}`}`; const r = (a) => /[`/]/.test(a); exports.handler = () => 1
const n = 4 / 2, t = `/`; exports.handler = () => n / 2
async function handler(event) { return 1 }
const handler = async (event) => 1
exports.main = async () => 1
const x = require("y"); module.exports = { a, b }
module.exports = class {}
export function* handler() {}
export { one, work as handler } from './other.mjs'
export const { handler } = middy(work)
export const one = 1, handler = 2
export const handlers = 1
const handler = 1; export { handler as other }
const quote = /['"`]/; exports.handler = 1; // it's `fine`
const half = a / b / c; exports.handler = 1
/* a program? */ exports . handler = 1 /* no */
this is no JavaScript (
"""

PROGRAMS = """
console.log(1)
/* export const handler = 1 */ main()
function f() {} f()
if (module.exports === other) main()
import { handler } from './other.mjs'; console.log(handler())
const { handler } = require('./other'); console.log(handler())
throw new Error("x")
process.exitCode = 3
return require("fs").readFileSync(0)
for (const a of [1]) console.log(a)
if (require.main === module) main(); function main() {}
main(); function main() {} module.exports = { main, other: 2 }
typeof module !== "undefined" && typeof exports; console.log(3)
Object.defineProperty(exports, "__esModule", { value: true }); console.log(1)
exports.x = exports.y = void 0; exports.version = "1"; console.log(1)
console.log("exports.handler = 1")
const a = /exports.handler = 1/; console.log(a)
const o = { exports: 1, module: 2 }; console.log(o.exports.handler, o.module)
(function () { this.handler = 1; console.log(1) }).call({})
const a = wrap({ "a.js"(exports, module) { exports.handler = 1; module.exports = a } }); console.log(a())
(() => { const m = { 1: (module, exports, req) => { exports.handler = 1; module.exports = req } }; m[1]({}, {}) })()
(() => { const m = { 1: (module) => { eval("module.exports = 1") } }; m[1]({}) })()
import fs from "fs"; console.log(fs)
import "./app.mjs"
import x from "./a.json" with { type: "json" }; console.log(x)
const r = await fetch("x"); console.log(r)
"""

# Where an export stands in a text or in a comment, over several lines.
SHOWN = ["/*\nexports.handler = 1\n*/\nconsole.log(2)", "console.log(`\nexports.handler = () => 1\n`)"]


@pytest.mark.parametrize(
    ("sources", "are_programs"),
    [
        ([*HANDLERS.strip().splitlines(), ""], False),
        ([*PROGRAMS.strip().splitlines(), *SHOWN, "#!/usr/bin/env node\nconsole.log(1)"], True),
    ],
)
async def test_a_parser_decides(node_bench: Bench, sources: list[str], *, are_programs: bool) -> None:
    loaded = await node_bench.load(READER)

    programs = (await loaded.call(sources)).value

    assert programs == (sources if are_programs else [])


async def test_a_bundle_of_megabytes_is_read_in_little_memory(node_bench: Bench) -> None:
    """Functions are looked at one by one and let go."""
    body = "if (a[0] === b) { return { x: [a, b, c].map((d) => d + 1) }; }\n" * 50
    source = "".join(f"function f{number}(a, b, c) {{\n{body}}}\n" for number in range(1000)) + "console.log(f1([]));\n"

    loaded = await node_bench.load(source, memory_mb=128)

    assert loaded.kind is Kind.PROGRAM
