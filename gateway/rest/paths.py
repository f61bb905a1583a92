"""Answers for paths and methods that are not there: which ones are, and which was meant."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from nanogrid.suggestions import nearest

_PARAMETER = re.compile(r"\{[^}]*\}")
_UNDESCRIBED = ("/docs", "/openapi.json")  # they answer GET, and describe the others
_MOST_PARTS = 8  # of a path that is compared with the known ones
# Other platforms' words for these, as `suggestions` compares names.
_OTHER_WORDS = {
    **dict.fromkeys(("invoke", "call", "execute", "exec", "invocations", "trigger"), "run"),
    **dict.fromkeys(("result", "results", "task", "tasks", "poll", "state"), "status"),
    **dict.fromkeys(("deploy", "create", "uploads", "publish"), "upload"),
    **dict.fromkeys(("fn", "function", "list", "lambda", "lambdas"), "functions"),
    **dict.fromkeys(("healthz", "livez", "ping", "alive"), "health"),
    **dict.fromkeys(("readyz", "readiness"), "ready"),
    **dict.fromkeys(("swagger", "redoc", "help", "api-docs", "apidocs"), "docs"),
}


def methods_of(path: str, document: Mapping[str, Any]) -> list[str]:
    """Return the methods that a path takes, by the OpenAPI document. None for a path that is not there."""
    found = [methods for template, methods in _routes(document) if _pattern(template).fullmatch(path)]
    return list(dict.fromkeys(method for methods in found for method in methods))


def did_you_mean(path: str, document: Mapping[str, Any]) -> str:
    """Return the end of an error's sentence about an unknown path: the one that was meant, or nothing."""
    known = dict(_routes(document))
    rooms = list(dict.fromkeys(template.split("/")[1] for template in known))
    parts = [part for part in path.split("/") if part][:_MOST_PARTS]
    # A prefix such as /api/v1 is passed over: the first part that is like a room counts.
    for place, part in enumerate(parts):
        if (room := nearest(part, rooms, _OTHER_WORDS)) is None:
            continue
        rest = parts[place + 1 :]
        fitting = [one for one in known if one.split("/")[1] == room and one.count("/") == len(rest) + 1]
        if template := next(iter(fitting or (one for one in known if one.split("/")[1] == room)), None):
            methods = [method for method in known[template] if method != "HEAD"]
            return f"; did you mean {' or '.join(methods)} {template}?"
    return ""


def _routes(document: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for template, operations in document["paths"].items():
        yield template, [way for method in operations for way in _ways(method.upper())]
    for template in _UNDESCRIBED:
        yield template, _ways("GET")


def _ways(method: str) -> list[str]:
    return ["GET", "HEAD"] if method == "GET" else [method]


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    """Match the paths of a template, whose parameters hold no slash but at its end."""
    literal, *_ = template.partition("{path}")
    parts = map(re.escape, _PARAMETER.split(literal))
    return re.compile("[^/]+".join(parts) + (".*" if literal != template else ""), re.DOTALL)
