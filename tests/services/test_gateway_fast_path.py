"""Requests that pass FastAPI by are answered as if they had not."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import create_app
from gateway.fast_path import Gateway
from gateway.routes import jobs
from gateway.settings import GatewaySettings
from support.gateway_grid import GatewayGrid, gateway_grid


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[GatewayGrid]:
    async with gateway_grid(tmp_path) as grid:
        yield grid


async def test_other_methods_are_refused_by_name(grid: GatewayGrid) -> None:
    for method, path in (("GET", "/run"), ("DELETE", "/status/job-1"), ("POST", "/status/job-1")):
        answer = await grid.http.request(method, path)

        assert (answer.status_code, answer.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")


async def test_paths_that_only_begin_alike_are_unknown(grid: GatewayGrid) -> None:
    for path in ("/status/", "/status/job-1/", "/status/job-1/logs", "/status", "/run/"):
        answer = await grid.http.get(path)

        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(f"there is nothing at {path};")


async def test_both_spellings_of_a_jobs_address_answer_alike(grid: GatewayGrid) -> None:
    answers = [await grid.http.get(f"/{room}/job-%31") for room in ("status", "jobs")]

    [told, same] = [answer.json() | {"request_id": ""} for answer in answers]
    assert told == same


async def test_an_error_carries_the_callers_request_id(grid: GatewayGrid) -> None:
    answer = await grid.http.post("/run", content=b"{", headers={"x-request-id": "mine"})

    assert (answer.status_code, answer.headers["x-request-id"], answer.json()["request_id"]) == (400, "mine", "mine")


async def test_without_a_key_nothing_is_answered(grid: GatewayGrid) -> None:
    for method, path in (("POST", "/run"), ("GET", "/status/job-1")):
        answer = await grid.http.request(method, path, headers={"authorization": ""})

        assert answer.status_code == 401


async def test_requests_are_counted_by_route(grid: GatewayGrid) -> None:
    await grid.http.post("/run", content=b"{")
    await grid.http.get("/status/job-nobody")

    counted = (await grid.http.get("/metrics")).text

    assert 'nanogrid_gateway_requests_total{method="POST",route="/run",status="400"} 1.0' in counted
    assert 'route="/status/{job_id}"' in counted
    assert "job-nobody" not in counted


ROUTES = [("POST", "/run", jobs.run), ("GET", "/status/{job_id}", jobs.get_job), ("GET", "/jobs", jobs.list_jobs)]
PATHS = [("POST", "/run"), ("GET", "/status/job-1"), ("GET", "/jobs"), ("GET", "/health"), ("GET", "/nothing")]


@pytest.fixture
def app(tmp_path: Path) -> Gateway:
    return create_app(GatewaySettings(data_dir=tmp_path, auth="off"))


async def paths_asked(app: Gateway) -> list[str]:
    """Ask for every path; the answers, 503 for want of services, are of no interest here."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        for method, path in PATHS:
            await client.request(method, path, json={"function_id": "f"} if method == "POST" else None)
    return [path for _, path in PATHS]


async def test_a_middleware_of_the_application_sees_every_route(app: Gateway) -> None:
    seen: list[str] = []

    class Watching:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["path"])
            await self._app(scope, receive, send)

    app.add_middleware(Watching)

    assert await paths_asked(app) == seen


@pytest.mark.parametrize("where", ["application", "router", "inclusion"])
async def test_a_dependency_is_run_for_the_two_fast_routes_too(
    app: Gateway, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watch(request: Request) -> None:
        seen.append(request.url.path)

    if where == "application":
        app.router.dependencies.append(Depends(watch))
    elif where == "router":
        router = APIRouter(dependencies=[Depends(watch)])
        for method, path, endpoint in ROUTES:
            router.add_api_route(path, endpoint, methods=[method])
        monkeypatch.setattr(jobs, "router", router)
    app.router.routes.clear()
    app.include_router(jobs.router, dependencies=[Depends(watch)] if where == "inclusion" else None)

    asked = await paths_asked(app)

    assert seen == asked[:3]
