"""Composition root of the executor: opens its backends, starts its loops and serves."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from nanogrid.artifacts import ArtifactsClient
from nanogrid.bundle import BundleLimits
from nanogrid.jobs import open_jobs
from nanogrid.logs import logger
from nanogrid.queue import open_queue
from nanogrid.redis.check import require_usable
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.server import Bound, serving
from nanogrid.stopping import until_stopped
from nanogrid.v1 import executor_pb2, executor_pb2_grpc, registry_pb2
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from nanogrid.v1.resources_pb2 import ExecutorInfo, Function
from services.executor.announce import RuntimeOffer, announce, withdraw
from services.executor.code.builds import Builds
from services.executor.code.cache import CodeCache
from services.executor.code.compiler import BuildLimits
from services.executor.delivery.by_hand import FindFunction, MessageCompleter
from services.executor.delivery.cancelling import RunningJobs
from services.executor.delivery.durable import ResultKeeper
from services.executor.delivery.ending import Ending
from services.executor.delivery.lease import Heartbeat, LeaseTimes
from services.executor.delivery.news import ResultNews
from services.executor.delivery.owner import JobOwner
from services.executor.delivery.poller import Poller
from services.executor.memory import open_memory_reader
from services.executor.metrics import PeakSink, open_peaks
from services.executor.pool.pool import Pool, PoolLimits
from services.executor.pool.pressure import PressureLimits, PressureWatch
from services.executor.pool.ready import Ready
from services.executor.run.job import JobRunner
from services.executor.run.memory_advice import MemoryAdvisor
from services.executor.run.output_files import OutputLimits
from services.executor.run.output_log import OutputLogs
from services.executor.sandbox import SandboxProvider, SandboxSettings, open_provider
from services.executor.servicer import ExecutorServicer
from services.executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceAsyncStub
    from nanogrid.v1.registry_pb2_grpc import RegistryServiceAsyncStub

log = logger()

_MIB = 1024 * 1024
_STOPPED = "the grid was stopped while the job ran"
_CLOSE_S = 5.0  # for durable results when the user stops the grid, because the records are in Redis by then
_ANSWER_S = 5.0  # deadline of calls to the registry


async def serve(settings: ExecutorSettings) -> None:
    """Run the executor until SIGTERM, then drain it."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        registry, artifacts = await _open_services(stack, settings)
        jobs = await enter(open_jobs(settings.jobs_url))
        queue = await enter(open_queue(settings.task_queue_url, settings.executor_id, settings.executor_visibility_s))
        provider = await enter(open_provider(settings.executor_sandbox_url, _sandbox_settings(settings)))
        log.info("sandboxes ready", isolates=provider.isolates, left_over=await provider.sweep())
        offer = RuntimeOffer(provider, jobs, stand_ins=settings.runtime_stand_ins)
        await offer.look()
        pool, watch = await enter(_open_pool(settings, provider, offer))
        info = _describe(settings, provider)
        live = OutputLogs(settings.root / "live")
        bound = _bound(ExecutorServicer(pool, live, lambda: info))
        port = await enter(serving(settings.executor_listen, _authenticator(settings, registry), [bound]))
        info.address = settings.executor_advertise or f"{settings.executor_listen.rpartition(':')[0]}:{port}"

        stored = ArtifactsClient(artifacts)
        peaks = await enter(open_peaks(settings.metrics_url, settings.executor_metrics_flush_s))
        builds = _open_builds(settings, provider, stored)
        work = _runner(pool, _open_code(settings, stored), live, stored, builds=builds, offer=offer, peaks=peaks)
        heartbeat = Heartbeat(jobs, queue, LeaseTimes(settings.executor_lease_s, settings.executor_visibility_s))
        keeper, news = ResultKeeper(stored), ResultNews(stored, settings.gateway_url)
        ending = Ending(jobs, queue, heartbeat, keeper, news, record_bytes=settings.executor_record_bytes)
        completer = MessageCompleter(_finding(registry), stored, settings.executor_code_bucket)
        owner = JobOwner(
            work,
            jobs,
            queue,
            info,
            heartbeat=heartbeat,
            ending=ending,
            completer=completer,
            running=(running := RunningJobs(jobs)),
            artifacts=stored,
        )
        poller = Poller(queue, owner, settings.executor_slots, settings.poll_s)

        beside = [
            heartbeat.run(),
            running.watch(),
            announce(jobs, _describing(info, poller, offer, watch)),
            offer.keep_looking(),
            pool.keep_house(),
            pool.ready.keep_filled(),
            watch.run(),
        ]
        stack.push_async_callback(withdraw, jobs, info.executor_id)
        await _work_until_stopped(poller, running, ending, beside, settings.executor_drain_s)


def _describing(
    info: ExecutorInfo, poller: Poller, offer: RuntimeOffer, watch: PressureWatch
) -> Callable[[], ExecutorInfo]:
    def describe() -> ExecutorInfo:
        info.free_slots = poller.free
        info.runtimes[:] = sorted(offer.runtimes)
        info.problem = offer.problem
        info.memory_pressure, info.evicted_sandboxes = watch.is_on, watch.evicted
        return info

    return describe


def _runner(
    pool: Pool,
    code: CodeCache,
    live: OutputLogs,
    stored: ArtifactsClient,
    *,
    builds: Builds,
    offer: RuntimeOffer,
    peaks: PeakSink,
) -> JobRunner:
    return JobRunner(
        pool,
        code,
        MemoryAdvisor(),
        live,
        stored,
        builds=builds,
        resolve=offer.resolve,
        limits=OutputLimits(),
        peaks=peaks,
    )


async def _open_services(
    stack: AsyncExitStack, settings: ExecutorSettings
) -> "tuple[RegistryServiceAsyncStub, ArtifactsServiceAsyncStub]":
    await require_usable(settings.jobs_url, may_evict=settings.redis_may_evict)
    token = settings.internal_token
    registry = open_stub(RegistryServiceStub, settings.registry_address, token=token)
    artifacts = open_stub(ArtifactsServiceStub, settings.artifacts_address, token=token)
    return await stack.enter_async_context(registry), await stack.enter_async_context(artifacts)


async def _work_until_stopped(
    poller: Poller, running: RunningJobs, ending: Ending, beside: list[Coroutine[Any, Any, None]], drain_s: float
) -> None:
    """Poll until a signal comes while the other loops run. A loop that ends by itself is a fault and ends the executor.

    After SIGTERM, jobs that do not end in time are handed back: another executor, or the next one here, runs them.
    SIGINT means that the grid's user stops it: they are cancelled.
    """
    polling = asyncio.create_task(poller.run(), name="poller")
    stopped = asyncio.create_task(until_stopped(), name="until stopped")
    loops: list[asyncio.Task[Any]] = [asyncio.create_task(loop) for loop in beside]
    try:
        await asyncio.wait([polling, stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
        poller.stop()
        again = asyncio.create_task(until_stopped(), name="until told to hurry")
        loops.append(again)
        await asyncio.wait([polling, again], return_when=asyncio.FIRST_COMPLETED)
        polling.cancel()  # it has ended, unless a second signal came
        by_user = stopped.done() and stopped.result() is signal.SIGINT
        await poller.drain(drain_s, again, partial(running.cancel_all, _STOPPED) if by_user else None)
        await ending.close(_CLOSE_S if by_user else 0 if again.done() else drain_s)
    finally:
        for task in [polling, stopped, *loops]:
            task.cancel()
        ends = await asyncio.gather(polling, stopped, *loops, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


@asynccontextmanager
async def _open_pool(
    settings: ExecutorSettings, provider: SandboxProvider, offer: RuntimeOffer
) -> AsyncIterator[tuple[Pool, PressureWatch]]:
    ready = Ready(provider, least=settings.ready, most=settings.executor_pool_most, offered=lambda: offer.runtimes)
    limits = PoolLimits(
        most=max(settings.executor_sandboxes, settings.executor_slots),
        idle_s=settings.executor_idle_s,
        freeze_after_s=settings.executor_freeze_s,
    )
    pool = Pool(provider, ready, limits)
    short = PressureLimits(settings.executor_memory_floor_percent, settings.executor_memory_stall_percent)
    try:
        yield pool, PressureWatch(open_memory_reader(), short, pool)
    finally:
        await pool.close()


def _finding(registry: "RegistryServiceAsyncStub") -> FindFunction:
    async def find(function_id: str) -> Function:
        request = registry_pb2.GetFunctionRequest(function_id=function_id)
        return (await registry.GetFunction(request, timeout=_ANSWER_S)).function

    return find


def _open_code(settings: ExecutorSettings, stored: ArtifactsClient) -> CodeCache:
    size_bytes = settings.executor_code_cache_mb * _MIB
    return CodeCache(settings.root / "code", size_bytes, stored.fetch_bundle, BundleLimits())


def _open_builds(settings: ExecutorSettings, provider: SandboxProvider, stored: ArtifactsClient) -> Builds:
    limits = BuildLimits(
        memory_mb=settings.executor_build_memory_mb,
        timeout_s=settings.executor_build_timeout_s,
        cpus=settings.executor_build_cpus,
    )
    kept = BundleLimits(unpacked_bytes=limits.program_bytes, entries=1)
    cache = CodeCache(settings.root / "builds", settings.executor_build_cache_mb * _MIB, stored.fetch_build, kept)
    return Builds(provider, cache, stored, limits, settings.root / "building")


def _authenticator(settings: ExecutorSettings, registry: "RegistryServiceAsyncStub") -> Authenticator:
    async def verify(key: str) -> str:
        return (await registry.VerifyApiKey(registry_pb2.VerifyApiKeyRequest(secret=key))).principal

    required = settings.auth_required(settings.executor_listen)
    return Authenticator(required=required, internal_token=settings.internal_token, verify=verify)


def _bound(servicer: ExecutorServicer) -> Bound:
    descriptor = executor_pb2.DESCRIPTOR.services_by_name["ExecutorService"]
    return Bound(descriptor, executor_pb2_grpc.add_ExecutorServiceServicer_to_server, servicer)


def _describe(settings: ExecutorSettings, provider: SandboxProvider) -> ExecutorInfo:
    info = ExecutorInfo(
        executor_id=settings.executor_id,
        slots=settings.executor_slots,
        free_slots=settings.executor_slots,
        sandbox="docker" if provider.isolates else "process",
    )
    info.started_at.GetCurrentTime()
    return info


def _sandbox_settings(settings: ExecutorSettings) -> SandboxSettings:
    return SandboxSettings(
        root=settings.root / "sandboxes",
        executor_id=settings.executor_id,
        cpus=settings.executor_cpus,
        init_timeout_s=settings.executor_init_timeout_s,
        ai_endpoint=settings.ai_endpoint,
    )
