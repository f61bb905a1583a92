"""The REST contract of output files in words, part of the OpenAPI document."""

from typing import Any

from gateway.rest.openapi import answers, query


def _header(name: str, description: str, example: str = "") -> dict[str, Any]:
    header = {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
    return header | {"example": example} if example else header


_FILE: dict[str, Any] = {"application/octet-stream": {}}
OUTPUT = {
    "parameters": [
        query("expires", "Part of the link.", {"type": "integer"}) | {"required": True},
        query("signature", "Part of the link.") | {"required": True},
        _header("Range", "One range of bytes. Several at once are answered with the whole file.", "bytes=0-1023"),
        _header("If-None-Match", "The ETag of the version that the client has.", '"5f-18a2b3c4"'),
        _header("If-Range", "The ETag or Last-Modified of the version that the range is of."),
    ],
    **answers(
        {
            200: {"description": "The file, with `ETag` and `Last-Modified`.", "content": _FILE},
            206: {"description": "The part; `Content-Range` says which.", "content": _FILE},
            304: {"description": "The client has this version."},
        },
        (404, 412, 416, 503),
        key=False,
    ),
}
