"""The REST API as the command line uses it: one method per call, every failure a CliError."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from nanogrid.cli.exits import CliError, Exit, of_status
from nanogrid.limits import ID

FINAL = frozenset({"completed", "failed", "cancelled"})

_ANSWER_S = 330.0  # the gateway answers a synchronous call after 290 s at the latest
_POLL_S = 1.0  # where the answer does not say when to ask again
_SHORTEST_POLL_S = 0.05
_PAGE = 100
_WRONG_PLACE = "another program may have that port: is --url right?"
_EXAMPLE_URL = "http://127.0.0.1:8080"
_PLACE = re.compile(r"[\w.-]+(?::[0-9]+)?")


class Client:
    """One NanoGrid, one caller. Not for several threads."""

    def __init__(self, http: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = http
        self._sleep = sleep

    def upload(self, file: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload code, streamed from the disk."""
        with file.open("rb") as content:
            answer = self._send("POST", "/upload", data=dict(fields), files={"file": (file.name, content)})
        return _object(answer)

    def resolve(self, function: str) -> str:
        """Find the id of a function given by id or by name; a name means the caller's newest of it."""
        try:
            return str(UUID(function))
        except ValueError:
            if ID.fullmatch(function) and (named := self._find_function(function)) is not None:
                return named
        found = next(self.functions(name=function, limit=1), None)
        if found is None:
            raise CliError(f"no function is called {function!r}; `nanogrid functions list` shows yours", Exit.NOT_FOUND)
        return str(found["function_id"])

    def _find_function(self, function_id: str) -> str | None:
        """Look a function up that was registered by hand, under a name as its id."""
        try:
            return str(self.function(function_id)["function_id"])
        except CliError as failure:
            if failure.exit_code is not Exit.NOT_FOUND:
                raise
        return None

    def functions(self, *, name: str | None, limit: int) -> Iterator[dict[str, Any]]:
        """Return the caller's functions, newest first, at most `limit`, read a page at a time."""
        cursor = ""
        while limit > 0:
            query = {"limit": str(min(limit, _PAGE)), "cursor": cursor, "name": name or ""}
            page = _object(self._send("GET", "/functions", params={k: v for k, v in query.items() if v}))
            functions = page.get("functions", [])[:limit]
            yield from functions
            limit -= len(functions)
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return

    def function(self, function_id: str) -> dict[str, Any]:
        """Return one function."""
        return _object(self._send("GET", f"/functions/{function_id}"))

    def delete_function(self, function_id: str) -> None:
        """Delete one function."""
        self._send("DELETE", f"/functions/{function_id}")

    def run(self, function_id: str, payload: object, *, submit: bool) -> tuple[dict[str, Any], float]:
        """Call a function: the job, and how long to wait before asking for it where it is not final yet.

        With `submit` it is answered at once, else when it is final or the gateway waited long enough.
        """
        headers = {"X-Async": "true"} if submit else {}
        answer = self._send("POST", "/run", json={"function_id": function_id, "payload": payload}, headers=headers)
        return _object(answer), _pause_s(answer)

    def status(self, job_id: str) -> dict[str, Any]:
        """Return one job as it is now."""
        return _object(self._status(job_id))

    def follow(self, job: dict[str, Any], pause_s: float) -> dict[str, Any]:
        """Ask for the job until it is final, each time after as long as the last answer said (Retry-After)."""
        while job.get("status") not in FINAL:
            self._sleep(pause_s)
            answer = self._status(str(job.get("job_id")))
            job, pause_s = _object(answer), _pause_s(answer)
        return job

    def ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Send a request of any kind, and return the object it is answered with."""
        return _object(self._send(method, path, **content))

    def _status(self, job_id: str) -> httpx.Response:
        return self._send("GET", f"/status/{job_id}")

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **content)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise _no_address(f"{self._http.base_url}") from None
        except httpx.TransportError as failure:
            raise CliError(
                f"{self._http.base_url} does not answer ({failure or type(failure).__name__}); {_cure(failure)}",
                Exit.UNAVAILABLE,
            ) from None
        if answer.is_success:
            return answer
        raise CliError(_reason(answer), of_status(answer.status_code))


@contextmanager
def open_client(url: str, api_key: str) -> Iterator[Client]:
    """Connect lazily to the NanoGrid at `url`."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        here = httpx.URL(url).host in {"localhost", "127.0.0.1", "::1"}
        http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_S, connect=5.0),
            trust_env=not here,  # a proxy in the environment is not the way to this machine
        )
    except (httpx.InvalidURL, ValueError):
        raise _no_address(url) from None
    with http:
        yield Client(http)


def _no_address(url: str) -> CliError:
    place = url.partition("://")[2] or url
    meant = f"http://{place.strip('/')}" if _PLACE.fullmatch(place.strip("/")) else _EXAMPLE_URL
    return CliError(f"--url: {url!r} is not the address of a NanoGrid; write for example {meant}", Exit.USAGE)


def _cure(failure: httpx.TransportError) -> str:
    if "SSL" in f"{failure}":
        return "a grid speaks http itself: write --url http://… where no proxy in front of it speaks https"
    return "start a grid with `nanogrid up`, or say where it is with --url or NANOGRID_URL"


def _pause_s(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return max(_SHORTEST_POLL_S, float(said)) if said.isdigit() else _POLL_S


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CliError(f"{answer.url} did not answer like a NanoGrid; {_WRONG_PLACE}", Exit.UNAVAILABLE)
    return found


def _reason(answer: httpx.Response) -> str:
    """Return the text of a problem document, with the request id for the logs."""
    try:
        problem = answer.json()
        said = str(problem.get("detail") or problem.get("title") or problem)
    except (ValueError, AttributeError):
        said = f"{answer.request.method} {answer.request.url} was answered with {answer.status_code}"
        return f"{said}, not as a NanoGrid answers; {_WRONG_PLACE}"
    request_id = problem.get("request_id")
    return f"{said} (request {request_id})" if request_id and answer.is_server_error else said
