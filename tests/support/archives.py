"""Builds zips byte by byte, with any field wrong."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

REGULAR = 0o100644
FOLDER = 0o040755


@dataclass
class Member:
    """One entry. `local` and `central` override fields of one header, `both` of both. `after` follows its content."""

    name: str | bytes
    content: bytes = b"x"
    deflate: bool = False
    mode: int | None = None
    flags: int = 0
    after: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    both: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        name = self.name.encode() if isinstance(self.name, str) else self.name
        packed = deflated(self.content) if self.deflate else self.content
        mode = self.mode if self.mode is not None else FOLDER if name.endswith(b"/") else REGULAR
        return {
            "name": name,
            "data": packed,
            "flags": self.flags,
            "method": 8 if self.deflate else 0,
            "crc": zlib.crc32(self.content),
            "packed": len(packed),
            "size": len(self.content),
            "extra": b"",
            "comment": b"",
            "disk": 0,
            "external": mode << 16,
            "signature": None,
            **self.both,
        }


def folder(name: str) -> Member:
    return Member(name, content=b"")


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def local_header(f: dict[str, Any]) -> bytes:
    signature = f["signature"] or b"PK\x03\x04"
    head = struct.pack(
        "<4s5H3L2H", signature, 20, f["flags"], f["method"], 0, 33, f["crc"], f["packed"], f["size"],
        len(f["name"]), len(f["extra"]),
    )  # fmt: skip
    return head + f["name"] + f["extra"]


def central_header(f: dict[str, Any], offset: int) -> bytes:
    signature = f["signature"] or b"PK\x01\x02"
    head = struct.pack(
        "<4s6H3L5H2L", signature, 0x031E, 20, f["flags"], f["method"], 0, 33, f["crc"], f["packed"], f["size"],
        len(f["name"]), len(f["extra"]), len(f["comment"]), f["disk"], 0, f["external"], offset,
    )  # fmt: skip
    return head + f["name"] + f["extra"] + f["comment"]


def end_record(directory: bytes, start: int, count: int, comment: bytes = b"", /, **over: int) -> bytes:
    f = {"disk": 0, "first": 0, "here": count, "entries": count, "size": len(directory), "offset": start} | over
    return (
        struct.pack(
            "<4s4H2LH", b"PK\x05\x06", f["disk"], f["first"], f["here"], f["entries"], f["size"], f["offset"],
            len(comment),
        )
        + comment
    )  # fmt: skip


def end_record64(directory: bytes, start: int, count: int, /, **over: int) -> bytes:
    """Return the zip64 end record and its locator, as they follow the directory."""
    f = {
        "length": 44, "disk": 0, "first": 0, "here": count, "entries": count, "size": len(directory), "offset": start,
        "position": start + len(directory), "disks": 1,
    } | over  # fmt: skip
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", f["length"], 45, 45, f["disk"], f["first"], f["here"], f["entries"], f["size"],
        f["offset"],
    )  # fmt: skip
    return record + struct.pack("<4sLQL", b"PK\x06\x07", 0, f["position"], f["disks"])


@dataclass
class Laid:
    """A zip in its parts."""

    body: bytes
    directory: bytes
    count: int

    def zip(self, *, middle: bytes = b"", comment: bytes = b"", **over: int) -> bytes:
        """Return the zip. `middle` lies between directory and end record."""
        return (
            self.body
            + self.directory
            + middle
            + end_record(self.directory, len(self.body), self.count, comment, **over)
        )

    def zip64(self, *, wide: dict[str, int] | None = None, **over: int) -> bytes:
        return self.zip(middle=end_record64(self.directory, len(self.body), self.count, **(wide or {})), **over)


def lay_out(members: Sequence[Member], *, prefix: bytes = b"", shift: int = 0) -> Laid:
    body, directory = prefix, b""
    for member in members:
        offset = len(body) + shift
        f = member.fields()
        body += local_header(f | member.local) + f["data"] + member.after
        directory += central_header(f | member.central, member.central.get("offset", offset))
    return Laid(body, directory, len(members))


def archive(*members: Member) -> bytes:
    return lay_out(members).zip()


def overlap_bomb(copies: int, kernel_bytes: int) -> bytes:
    """Return a zip of many entries that share one deflated content: a small file with huge contents."""
    kernel = Member("kernel", bytes(kernel_bytes), deflate=True).fields()
    body = local_header(kernel) + kernel["data"]
    directory = b"".join(central_header(kernel | {"name": b"%d" % n}, 0) for n in range(copies))
    return Laid(body, directory, copies).zip()


def quoted_overlap(content: bytes) -> bytes:
    """Return a zip of two entries, the first storing the second's local header and content as its own content."""
    inner = Member("inner", content).fields()
    quoted = local_header(inner) + inner["data"]
    outer = Member("outer", quoted).fields()
    head = local_header(outer)
    directory = central_header(outer, 0) + central_header(inner, len(head))
    return Laid(head + quoted, directory, 2).zip()
