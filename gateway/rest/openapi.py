"""Describes the input and the answers of each route for OpenAPI, with examples.

Written by hand, because bodies are read by hand, for speed.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.rest.option_schemas import ENV_OBJECT, ENV_TEXT, FILE, OPTIONS
from nanogrid import limits

VERSION = "1"
DESCRIPTION = (
    "Upload code, call it over REST, get the result back. Failures of your code are data: 200 with "
    '`status: "failed"` and an `error`. Failures of the platform are problems (RFC 9457). Every answer carries '
    "`X-Request-Id`; send your own to find it in the logs."
)

_STATES = ["pending", "running", "completed", "failed", "cancelled"]
_ID = "2f1e6a3c-6e0b-4c5e-9d59-0c4f5ad3a1b7"
_JOB_ID = f"job-{_ID}"
_WHEN = "2026-11-21T02:33:46.120000Z"

_PROBLEM = "application/problem+json"
_PROBLEMS = {
    400: ("A field is missing, unknown or out of range; `field` names it.", "INVALID_FIELD", "INVALID_ARGUMENT"),
    401: ("No valid API key.", "UNAUTHENTICATED", "UNAUTHENTICATED"),
    403: ("Not allowed: for operators, or for pages of this site.", "OPERATORS_ONLY", "PERMISSION_DENIED"),
    404: ("No such thing, or it belongs to another owner.", "NOT_FOUND", "NOT_FOUND"),
    409: ("It exists already, or the first request with this key is under way.", "CONFLICT", "ALREADY_EXISTS"),
    412: ("The file is in another version.", "PRECONDITION_FAILED", "FAILED_PRECONDITION"),
    413: ("Larger than a limit; `limit` and `actual` say both numbers.", "TOO_LARGE", "OUT_OF_RANGE"),
    415: ("The body's media type is not taken here.", "UNSUPPORTED_MEDIA_TYPE", "INVALID_ARGUMENT"),
    416: ("The range lies beyond the file.", "RANGE_NOT_SATISFIABLE", "OUT_OF_RANGE"),
    422: ("The key was used for something else.", "UNPROCESSABLE", "FAILED_PRECONDITION"),
    503: ("A service is down; nothing was accepted. Try again.", "UNAVAILABLE", "UNAVAILABLE"),
}

_FUNCTION = {
    "function_id": _ID,
    "function_name": "hello",
    "s3_key": f"functions/{_ID}/code.zip",
    "created_at": _WHEN,
    "runtime": "python3.11",
    "handler": "hello.handler",
    "timeout": 300,
    "memory_mb": 512,
    "mode": "reuse",
    "max_concurrency": 0,
    "egress": False,
    "auto_memory": False,
    "env": ["GREETING"],
    "code_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size_bytes": 412,
    "owner": "local",
}
_JOB = {
    "job_id": _JOB_ID,
    "function_id": _ID,
    "status": "completed",
    "result": {"body": "Hello, NanoGrid!"},
    "output_files": [f"http://127.0.0.1:8080/outputs/{_JOB_ID}/picture.png?expires=1795228426&signature=…"],
    "execution_time_ms": 0.4,
    "exit_code": None,
    "stdout": "",
    "stderr": "",
    "peak_memory_bytes": 11534336,
    "optimization_tip": "64 MB would do and save 87 %.",
    "cold_start": False,
    "created_at": _WHEN,
    "ended_at": _WHEN,
}
_ACCEPTED = {
    "job_id": _JOB_ID,
    "status": "pending",
    "message": f"Job submitted. Poll GET /status/{_JOB_ID} for results.",
}
_SUMMARY = {name: _JOB[name] for name in ("job_id", "function_id", "status", "execution_time_ms", "created_at")}

_FUNCTION_ID = {
    "type": "string",
    "pattern": f"^{limits.ID.pattern}$",
    "description": "Of uploads a UUID; code registered by hand may have any name of its owner's.",
}


def example(shown: Any, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema or {"type": "object"}, "example": shown}}


def _problem(status: int) -> dict[str, Any]:
    meaning, reason, code = _PROBLEMS[status]
    example = {
        "type": f"urn:nanogrid:problem:{reason.lower().replace('_', '-')}",
        "status": status,
        "detail": meaning,
        "code": code,
        "reason": reason,
        "retryable": status == 503,  # noqa: PLR2004 - the one status of the table that is
        "request_id": "5f0c3a",
    }
    return {
        "description": meaning,
        "content": {_PROBLEM: {"schema": {"type": "object"}, "example": example}},
    }


def answers(good: dict[int, dict[str, Any]], bad: Sequence[int], *, key: bool = True) -> dict[str, Any]:
    statuses = sorted({*bad, 401} if key else bad)
    responses = {str(status): answer for status, answer in good.items()} | {str(one): _problem(one) for one in statuses}
    return {"responses": responses, "security": [{"bearer": []}, {"header": []}] if key else []}


def query(name: str, description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


PAGE = [
    query("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}),
    query("cursor", "`next_cursor` of the page before."),
]

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Your own name for this request. Sent again within 24 hours with the same body, it is answered with "
    "what it made then.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}

UPLOAD = {
    "parameters": [_KEY],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "function_name", "runtime"],
                    "properties": {
                        "file": FILE,
                        **OPTIONS,
                        "env": ENV_TEXT,
                    },
                }
            }
        },
    },
    **answers(
        {201: {"description": "The new function.", "content": example(_FUNCTION)}}, (400, 409, 413, 415, 422, 503)
    ),
}

REGISTER = {
    "parameters": [_KEY],
    "requestBody": {
        "required": True,
        "content": example(
            {
                "function_name": "hello",
                "runtime": "python3.11",
                "handler": "main.handler",
                "s3_key": "functions/hello/v1.zip",
            },
            {
                "type": "object",
                "required": ["function_name", "runtime", "s3_key"],
                "properties": {"s3_key": {"type": "string"}, "function_id": _FUNCTION_ID, **OPTIONS, "env": ENV_OBJECT},
                "additionalProperties": False,
            },
        ),
    },
    **answers(
        {201: {"description": "The new function.", "content": example(_FUNCTION)}}, (400, 409, 413, 415, 422, 503)
    ),
}

LIST_FUNCTIONS = {
    "parameters": [*PAGE, query("name", "Only the newest function of this name.")],
    **answers(
        {200: {"description": "A page.", "content": example({"functions": [_FUNCTION], "next_cursor": None})}},
        (400, 503),
    ),
}
GET_FUNCTION = answers({200: {"description": "The function.", "content": example(_FUNCTION)}}, (404, 503))
DELETE_FUNCTION = answers({204: {"description": "It takes no more jobs, and those it had are cancelled."}}, (404, 503))

RUN = {
    "parameters": [
        {
            "name": "X-Async",
            "in": "header",
            "description": "`true`: answer 202 at once.",
            "schema": {"type": "string", "enum": ["true", "false"]},
        },
        _KEY,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "function_id": _FUNCTION_ID,
                        "function_name": {"type": "string", "description": "Instead of the id: your newest of it."},
                        "payload": {"description": "Any JSON; {} when left out. At most 32 MB."},
                        "functionId": {
                            "type": "string",
                            "description": "The older spelling; not mixed with the other.",
                        },
                        "functionName": {"type": "string"},
                        "inputData": {},
                    },
                    "additionalProperties": False,
                },
                "examples": {
                    "standard": {"value": {"function_id": _ID, "payload": {"name": "NanoGrid"}}},
                    "by name": {"value": {"function_name": "hello", "payload": {}}},
                    "older clients": {"value": {"functionId": _ID, "inputData": {"name": "NanoGrid"}}},
                },
            }
        },
    },
    **answers(
        {
            200: {"description": "The job ended; `status` says how.", "content": example(_JOB)},
            202: {"description": "The job goes on; `Location` says where to ask.", "content": example(_ACCEPTED)},
        },
        (400, 404, 409, 413, 415, 422, 503),
    ),
}
GET_JOB = answers({200: {"description": "The job.", "content": example(_JOB)}}, (404, 503))
LIST_JOBS = {
    "parameters": [
        *PAGE,
        query("function_id", "Only jobs of this function."),
        query("status", "Only jobs in this state.", {"type": "string", "enum": _STATES}),
    ],
    **answers(
        {200: {"description": "A page.", "content": example({"jobs": [_SUMMARY], "next_cursor": None})}}, (400, 503)
    ),
}

HEALTH = answers({200: {"description": "It serves.", "content": example({"status": "healthy"})}}, (), key=False)
_STATES_OF = {"registry": "serving", "artifacts": "serving", "invoker": "unreachable"}
READY = answers(
    {
        200: {"description": "Everything behind it serves.", "content": example({"status": "ready"})},
        503: {"description": "Not so.", "content": example({"status": "unready", "dependencies": _STATES_OF})},
    },
    (),
    key=False,
)
METRICS = answers({200: {"description": "Prometheus text.", "content": {"text/plain": {}}}}, ())


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, built once. FastAPI's own 422 is left out, because it is never answered."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                if _PROBLEM not in operation["responses"].get("422", {}).get("content", {}):
                    operation["responses"].pop("422", None)
        document["components"] = {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        }
        app.openapi_schema = document
    return app.openapi_schema
