"""Requests for tests of idempotency keys."""

from support.rest import FIELDS, field_part

GOOD = [field_part(name, value.encode()) for name, value in FIELDS.items()]


def register(grid, key, **body):
    known = {"function_name": "hello", "runtime": "python3.11", "handler": "main.handler", "s3_key": "shared/code.zip"}
    return grid.http.post("/functions", json=known | body, headers=key)


async def functions_of(grid):
    return (await grid.http.get("/functions")).json()["functions"]
