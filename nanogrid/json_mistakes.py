"""Names the fault of text that should have been a JSON object, and the cure, for the usual mistakes."""

import re

_LOOKED_AT = 10_000  # bytes of the text: mistakes of spelling are made throughout
_SHOWN = 20  # characters on either side of a fault

_POSITION = re.compile(r"\(byte (\d+)\)")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')

_ENCODINGS = (
    (b"\xff\xfe", "is in UTF-16; send UTF-8"),
    (b"\xfe\xff", "is in UTF-16; send UTF-8"),
    (b"\xef\xbb\xbf", "begins with a byte order mark; save it as UTF-8 without one"),
)
# By how the text begins, before any JSON is seen.
_BEGINNINGS = (
    (
        re.compile(r"'"),
        'begins with a single quote that the shell passed on; in cmd.exe quote with " and write \\" inside',
    ),
    (re.compile(r"@"), "is the name of a file; curl reads the file with -d @file, not with --data-raw"),
    (re.compile(r"--"), "is a form; send JSON with `Content-Type: application/json`"),
    (re.compile(r"[\w.-]+=[^=]"), "is a form; send JSON with `Content-Type: application/json`"),
    (re.compile(r'"\s*\{'), "is JSON inside a JSON string; send the object itself, encoded once"),
    (re.compile(r"<"), "is HTML or XML; send JSON"),
    (re.compile(r"\["), "is a list; send an object"),
)
# By what is there besides its strings.
_SPELLINGS = (
    (re.compile(r"[“”„‟]"), "has typographic quotes; write straight ones"),
    (re.compile(r"[{,:\[]\s*'"), 'has single quotes; JSON takes double ones: {"name": "value"}'),
    (
        re.compile(r"\b(?:True|False|None)\b"),
        "has True, False or None, as Python prints them; JSON has true, false, null",
    ),
    (re.compile(r"\b(?:NaN|Infinity|undefined)\b"), "has NaN, Infinity or undefined, which JSON does not; send null"),
    (re.compile(r"(?:^|\s)(?://|/\*|#)"), "has a comment, which JSON does not take; leave it out"),
    (re.compile(r",\s*[}\]]"), "has a comma behind its last entry; leave it out"),
    (
        re.compile(r"[{,]\s*[A-Za-z_$][\w$]*\s*:"),
        'has names without quotes, which some shells take away; write {"name": …}',
    ),
    (re.compile(r'""\s*"'), "lacks a comma between two entries; put one there"),
)


def describe_mistake(body: bytes, fault: str) -> str:
    """Return the fault of `body` and the cure, in words that follow its name. `fault` is its parser's message."""
    if not body.strip():
        return "is empty; send a JSON object"
    for mark, meaning in _ENCODINGS:
        if body.startswith(mark):
            return meaning
    text = body[:_LOOKED_AT].decode("utf-8", "replace").lstrip()
    for pattern, meaning in _BEGINNINGS:
        if pattern.match(text):
            return meaning
    spelt = _STRINGS.sub('""', text)
    for pattern, meaning in _SPELLINGS:
        if pattern.search(spelt):
            return f"{meaning}{_near(body, fault)}"
    return f"{fault}{_near(body, fault)}; send a JSON object"


def _near(body: bytes, fault: str) -> str:
    """Show the text around the place of a fault."""
    if (found := _POSITION.search(fault)) is None:
        return ""
    place = int(found[1])
    return f", near {body[max(0, place - _SHOWN) : place + _SHOWN].decode('utf-8', 'replace')!r}"
