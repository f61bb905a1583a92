"""The embedded store: one SQLite file, written by one thread."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from nanogrid import paging
from nanogrid.errors import ConflictError, NotFoundError, UnavailableError
from nanogrid.logs import logger
from nanogrid.v1.resources_pb2 import ApiKey, Function
from services.registry.store import KeyRecord, NamedUpload, reservation_lost

Result = TypeVar("Result")

log = logger()

# Records are kept as protobuf bytes, so that a new field needs no migration; columns are what is searched by.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS functions (
    function_id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created_us INTEGER NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS functions_by_name ON functions (owner, name, created_us, function_id);
CREATE INDEX IF NOT EXISTS functions_by_owner ON functions (owner, created_us, function_id);
CREATE INDEX IF NOT EXISTS functions_by_age ON functions (created_us, function_id);
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, digest TEXT NOT NULL, created_us INTEGER NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_by_age ON keys (created_us, key_id);
CREATE TABLE IF NOT EXISTS uploads (
    name TEXT PRIMARY KEY, reservation_id TEXT NOT NULL, free_at_us INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    function_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_age ON uploads (free_at_us);
"""
_DAY_US = 24 * 3600 * 1_000_000
_UPLOAD = "SELECT name, reservation_id, free_at_us, fingerprint, function_id FROM uploads WHERE name = ?"
_RESERVE = """
INSERT INTO uploads VALUES (:name, :reservation_id, :free_at_us, :fingerprint, :function_id)
ON CONFLICT (name) DO UPDATE SET
    reservation_id = excluded.reservation_id, free_at_us = excluded.free_at_us, fingerprint = excluded.fingerprint,
    function_id = excluded.function_id
WHERE free_at_us <= :now_us OR (reservation_id = excluded.reservation_id AND fingerprint = '')
"""
_COMPLETE = """
UPDATE uploads SET free_at_us = :free_at_us, fingerprint = :fingerprint, function_id = :function_id
WHERE name = :name AND reservation_id = :reservation_id AND fingerprint = ''
"""
_BUSY_S = 5.0  # another process (a backup, a curious operator) may hold the file this long
_NEWEST = (2**63 - 1, "\U0010ffff")  # a position before every record: SQLite's largest integer, and beyond any id


class SqliteStore:
    """All tables in one file. Statements run one after another on a thread of their own, never on the event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Create the file where there is none. UnavailableError when it cannot be opened."""
        await self._run(self._connect)

    async def close(self) -> None:
        """Finish running statements and close the file."""
        db = self._db
        if db is not None:
            await self._run(db.close)
        self._thread.shutdown()

    async def insert_function(self, function: Function, upload: NamedUpload | None = None) -> None:
        """See FunctionStore."""
        row = (
            function.function_id,
            function.owner,
            function.function_name,
            function.created_at.ToMicroseconds(),
            function.SerializeToString(),
        )
        await self._run(lambda: self._insert(row, upload))

    async def get_function(self, function_id: str) -> Function:
        """See FunctionStore."""
        return _one_function(await self._read("SELECT record FROM functions WHERE function_id = ?", (function_id,)))

    async def newest_function(self, owner: str, name: str) -> Function:
        """See FunctionStore."""
        query = (
            "SELECT record FROM functions WHERE owner = ? AND name = ? "
            "ORDER BY created_us DESC, function_id DESC LIMIT 1"
        )
        return _one_function(await self._read(query, (owner, name)))

    async def page_functions(self, owner: str | None, size: int, page_token: str) -> tuple[list[Function], str]:
        """See FunctionStore."""
        mine = "" if owner is None else "owner = ? AND"
        query = (
            f"SELECT record FROM functions WHERE {mine} (created_us, function_id) < (?, ?) "  # noqa: S608 - of two constants
            "ORDER BY created_us DESC, function_id DESC LIMIT ?"
        )
        whose = () if owner is None else (owner,)
        rows = await self._read(query, (*whose, *_position(page_token), size + 1))
        found = [Function.FromString(row[0]) for row in rows[:size]]
        return found, _next(len(rows) > size, [(one.created_at.ToMicroseconds(), one.function_id) for one in found])

    async def delete_function(self, function_id: str) -> Function:
        """See FunctionStore."""
        query = "DELETE FROM functions WHERE function_id = ? RETURNING record"
        return _one_function(await self._read(query, (function_id,)))

    async def reserve_upload(self, upload: NamedUpload, now_us: int) -> NamedUpload | None:
        """See UploadStore."""
        return await self._run(lambda: self._reserve(upload, now_us))

    async def release_upload(self, upload: NamedUpload) -> NamedUpload | None:
        """See UploadStore."""
        return await self._run(lambda: self._release(upload))

    async def insert_key(self, record: KeyRecord) -> None:
        """See KeyStore."""
        key = record.key
        row = (key.key_id, record.digest, key.created_at.ToMicroseconds(), key.SerializeToString())
        if not await self._write("INSERT INTO keys VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row):
            raise ConflictError(f"key_id: {key.key_id} exists")

    async def get_key(self, key_id: str) -> KeyRecord:
        """See KeyStore."""
        rows = await self._read("SELECT record, digest FROM keys WHERE key_id = ?", (key_id,))
        if not rows:
            raise NotFoundError("no such API key")
        return KeyRecord(ApiKey.FromString(rows[0][0]), rows[0][1])

    async def page_keys(self, size: int, page_token: str) -> tuple[list[ApiKey], str]:
        """See KeyStore."""
        query = (
            "SELECT record FROM keys WHERE (created_us, key_id) < (?, ?) ORDER BY created_us DESC, key_id DESC LIMIT ?"
        )
        rows = await self._read(query, (*_position(page_token), size + 1))
        found = [ApiKey.FromString(row[0]) for row in rows[:size]]
        return found, _next(len(rows) > size, [(one.created_at.ToMicroseconds(), one.key_id) for one in found])

    async def revoke_key(self, key_id: str, at_us: int) -> ApiKey:
        """See KeyStore."""
        key = (await self.get_key(key_id)).key
        if key.HasField("revoked_at"):
            return key
        key.revoked_at.FromMicroseconds(at_us)
        # Two revokers at once both mark it; the later one's time stands, and it is revoked either way.
        await self._write("UPDATE keys SET record = ? WHERE key_id = ?", (key.SerializeToString(), key_id))
        return key

    def _insert(self, row: tuple[object, ...], upload: NamedUpload | None) -> None:
        with self._transaction() as db:
            if not db.execute("INSERT INTO functions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount:
                raise ConflictError(f"function_id: {row[0]} exists; a new function needs a new id")
            if upload is not None and not db.execute(_COMPLETE, asdict(upload)).rowcount:
                raise reservation_lost()

    def _reserve(self, upload: NamedUpload, now_us: int) -> NamedUpload | None:
        with self._transaction() as db:
            db.execute("DELETE FROM uploads WHERE free_at_us <= ?", (now_us - _DAY_US,))
            if db.execute(_RESERVE, {**asdict(upload), "now_us": now_us}).rowcount:
                return None
            return NamedUpload(*db.execute(_UPLOAD, (upload.name,)).fetchone())

    def _release(self, upload: NamedUpload) -> NamedUpload | None:
        with self._transaction() as db:
            query = "DELETE FROM uploads WHERE name = ? AND reservation_id = ? AND fingerprint = ?"
            db.execute(query, (upload.name, upload.reservation_id, upload.fingerprint))
            row = db.execute(_UPLOAD, (upload.name,)).fetchone()
            return NamedUpload(*row) if row else None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._opened
        db.execute("BEGIN IMMEDIATE")
        with db:  # commits, or takes all of it back
            yield db

    async def _write(self, query: str, values: tuple[object, ...]) -> int:
        return await self._run(lambda: self._opened.execute(query, values).rowcount)

    async def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._opened.execute(query, values).fetchall())

    async def _run(self, step: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except (sqlite3.Error, OSError):
            log.exception("registry store failed", path=str(self._path))
            raise UnavailableError("the registry's store does not answer; try again") from None

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("the store is not open")
        return self._db

    def _connect(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(0o600)  # it holds key digests and environments; SQLite's side files inherit the mode
        # Autocommit: what takes several statements opens its transaction. FULL: a function that was answered 201
        # survives a power cut.
        db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_SCHEMA}")
        self._db = db


def _one_function(rows: list[tuple[Any, ...]]) -> Function:
    if not rows:
        raise NotFoundError("no such function", field="function_id")
    return Function.FromString(rows[0][0])


def _position(page_token: str) -> tuple[int, str]:
    match paging.position(page_token, (int, str)):
        case [int(created_us), str(key)]:
            return min(created_us, _NEWEST[0]), key  # a forged number beyond SQLite's integers only means the start
        case _:
            return _NEWEST


def _next(more: bool, positions: list[tuple[int, str]]) -> str:
    return paging.token(list(positions[-1])) if more else ""


@asynccontextmanager
async def open_sqlite_store(url: str) -> AsyncIterator[SqliteStore]:
    """Open the file that `url` names, `sqlite:///absolute/path.db`. Its folder is made where it is missing."""
    parts = urlsplit(url)
    path = Path("/" + unquote(parts.path).lstrip("/"))
    if parts.netloc or path == Path("/"):
        raise ValueError(f"NANOGRID_REGISTRY_STORE_URL: {url!r} names no file; use sqlite:///absolute/path.db")
    store = SqliteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
