"""Tells Node files apart by their text and package.json, and explains those that cannot be told."""

import unicodedata
from typing import Literal

import pytest

from services.executor.sandbox import CallError
from support.sandboxes import Bench

BOM = "\ufeff"
Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"main.js": "exports.lambdaHandler = () => 1;"}, "main.handler"),
        ({"main.js": "exports.lambda_handler = () => 1;"}, "main.handler"),
        ({"main.js": "exports.lambdaHandler = () => 1;"}, "main.lambdaHandler"),
        ({"main.js": "exports.handler = () => 1; exports.lambdaHandler = () => 2;"}, "main.handler"),
        ({"fs.js": "exports.handler = () => require('fs').existsSync('/') && 1;"}, "fs.handler"),
        ({"path.mjs": "import path from 'path';\nexport const handler = () => path.join.length + 1;"}, "path.handler"),
        ({"app.v2.js": "exports.handler = () => 1;"}, "app.v2.handler"),
        (
            {"main.js": "export const handler = () => 1;", "package.json": BOM + '{"type": "module"}'},
            "main.handler",
        ),
        ({"main.js": BOM + "exports.handler = () => 1;", "package.json": BOM + "{}"}, "main.handler"),
        ({"main.mjs": BOM + "export const handler = () => 1;"}, "main.handler"),
        (
            {
                "main.js": "exports.handler = () => require('./data.json').one;",
                "data.json": BOM + '{"one": 1}',
            },
            "main.handler",
        ),
    ],
)
async def test_a_handler_is_found(node_bench: Bench, files: dict[str, str], handler: str) -> None:
    loaded = await node_bench.load(files, handler=handler)

    assert (await loaded.call()).value == 1


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"main.js": "exports.main = () => 1;"}, "has no 'handler'; it exports: main"),
        ({"main.js": "module.exports = () => 1;"}, "has no 'handler'; it exports one function without a name"),
        ({"main.js": "async function handler() {}"}, "has no 'handler'; it exports nothing"),
        ({"main.mjs": "export default { main() {} };"}, "has no 'handler'; it exports: default"),
        ({"main.js": "let x = ;"}, "SyntaxError: Unexpected token ';'"),
        ({"main.js": "exports.a = 1;", "package.json": "{"}, "package.json cannot be read: "),
    ],
)
async def test_a_wrong_guess_is_told(node_bench: Bench, files: dict[str, str], says: str) -> None:
    refused = (await node_bench.load(files)).kind

    assert isinstance(refused, CallError)
    assert refused.type == "InitError"
    assert says in refused.message


@pytest.mark.parametrize("name", ["main.js", "main.mjs"])
@pytest.mark.parametrize(("stored", "typed"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
async def test_names_match_however_their_letters_are_composed(
    node_bench: Bench, stored: Form, typed: Form, name: str
) -> None:
    code = "export const 처리 = () => 1;" if name.endswith(".mjs") else "exports.처리 = () => 1;"
    file = name.replace("main", "앱/é")
    files = {unicodedata.normalize(stored, file): unicodedata.normalize(stored, code)}
    loaded = await node_bench.load(files, handler=unicodedata.normalize(typed, "앱/é.처리"))

    assert (await loaded.call()).value == 1
