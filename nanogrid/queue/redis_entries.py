"""Reads entries of the Redis queue's streams, and names a held one by its receipt: stream and entry id."""

from typing import Any

from nanogrid.queue import DeadLetter, Delivery

# The keys of the streams keep their first names: what was queued before an upgrade is found by it.
SYNC = "queue:urgent"
IS_ASYNC = "async"


def receipt_of(stream: str, entry_id: bytes) -> str:
    """Name a held entry: the stream that it lies in, and its id there."""
    return f"{stream} {entry_id.decode()}"


def stream_of(delivery: Delivery) -> str:
    """Return the stream that a receipt names."""
    return delivery.receipt.partition(" ")[0]


def entry_id_of(delivery: Delivery) -> str:
    """Return the id of the entry that a receipt names."""
    return delivery.receipt.partition(" ")[2]


def is_sync(stream: str, lane: bytes) -> bool:
    """Tell the lane of an entry: a message that was given back comes by the sync stream, but keeps its lane."""
    return stream == SYNC and lane != IS_ASYNC.encode()


def parsed(answer: Any) -> Any:
    """Return a reply of Redis as redis-py would have it: fields as a dictionary."""
    return [
        (name, [(entry_id, dict(zip(fields[::2], fields[1::2], strict=True))) for entry_id, fields in entries])
        for name, entries in answer or ()
    ]


def entries_of(answer: Any) -> list[tuple[str, Any]]:
    """Return stream and entry of everything read, the sync lane first."""
    found = [(name.decode(), entry) for name, entries in answer or () for entry in entries]
    return sorted(found, key=lambda one: one[0] != SYNC)


def delivery_of(stream: str, entry: Any, times: int) -> Delivery:
    """Read an entry that Redis has handed out `times` times. It adds those before it was given back."""
    fields = entry[1]
    return Delivery(
        body=fields[b"b"],
        receipt=receipt_of(stream, entry[0]),
        receives=times + int(fields.get(b"r", 0)),
        sync=is_sync(stream, fields.get(b"l", b"")),
    )


def letter_of(entry: Any) -> DeadLetter:
    """Read an entry of the stream of dead letters."""
    letter_id, fields = entry[0].decode(), entry[1]
    return DeadLetter(
        letter_id=letter_id,
        body=fields[b"b"],
        reason=fields[b"reason"].decode(errors="replace"),
        receives=int(fields[b"receives"]),
        died_at_ms=int(letter_id.partition("-")[0]),
    )
