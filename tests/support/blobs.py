"""Puts, reads and lists blobs for the suites of object stores."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import boto3

from nanogrid.errors import NotFoundError
from services.artifacts.blobs import BlobInfo, BlobStore
from support.moto_server import REGION, MotoServer

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BUCKET = "a-bucket"

ODD = (
    "한글/폴더/파일.txt",
    "caf\u00e9",
    "cafe\u0301",
    "A.txt",
    "a.txt",
    "x" * 1024,
    "/".join(["가" * 85] * 4),
    "a/" + "y" * 256,
    "with space",
    "100%",
    "100%25",
    "%",
    "%f",
    "a%f",
    "%tmp/a.txt",
    "%meta/a.txt",
    ".hidden",
    "...",
    "-rf",
    "~",
    "a:b",
    "*?[]",
    "\\",
    "\U0001f600.png",
)


IMPOSSIBLE = ("", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".", "a/./b", "a\x00b", "x" * 1025, "\ud800")


def s3(aws: MotoServer) -> Any:
    return boto3.client("s3", endpoint_url=aws.url, region_name=REGION)


async def streamed(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def put(store: BlobStore, key: str, content: bytes = b"x") -> BlobInfo:
    return await store.put(key, streamed(content), content_type=TEXT)


async def read(store: BlobStore, key: str) -> bytes:
    async with store.open(key) as (info, chunks):
        content = b"".join([chunk async for chunk in chunks])
        assert info.size_bytes == len(content)
        return content


async def is_there(store: BlobStore, key: str) -> bool:
    try:
        await store.head(key)
    except NotFoundError:
        return False
    return True


async def keys_below(store: BlobStore, prefix: str) -> list[str]:
    return sorted([one.key async for one in store.list(prefix)])
