"""Composition root of the invoker: opens its backends, starts its loops and serves."""

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial

from nanogrid.artifacts import ArtifactsClient
from nanogrid.jobs import JobStore, open_jobs
from nanogrid.queue import TaskQueue, open_queue
from nanogrid.redis.check import check_redis, require_usable
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.health import Probe
from nanogrid.rpc.server import Bound, serving
from nanogrid.stopping import until_stopped
from nanogrid.v1 import invoker_pb2, invoker_pb2_grpc, registry_pb2
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from nanogrid.v1.resources_pb2 import Function
from services.invoker.dead_letters import DeadLetters
from services.invoker.functions import Functions
from services.invoker.results import JobReader
from services.invoker.retirement import Retirement
from services.invoker.sent import SentJobs
from services.invoker.servicer import InvokerServicer
from services.invoker.settings import InvokerSettings
from services.invoker.store_watch import StoreWatch
from services.invoker.submitter import SubmitLimits, Submitter
from services.invoker.unsent import Sweeper


async def serve(settings: InvokerSettings) -> None:
    """Serve the invoker until SIGTERM."""
    async with AsyncExitStack() as stack:
        token = settings.internal_token
        registry = await stack.enter_async_context(
            open_stub(RegistryServiceStub, settings.registry_address, token=token)
        )
        artifacts = await stack.enter_async_context(
            open_stub(ArtifactsServiceStub, settings.artifacts_address, token=token)
        )
        await require_usable(settings.jobs_url, may_evict=settings.redis_may_evict)
        jobs = await stack.enter_async_context(open_jobs(settings.jobs_url))
        queue = await stack.enter_async_context(open_queue(settings.task_queue_url, f"invoker-{os.getpid()}"))

        async def read_function(function_id: str) -> Function:
            answer = await registry.GetFunction(registry_pb2.GetFunctionRequest(function_id=function_id))
            return answer.function

        async def delete_function(function_id: str) -> None:
            await registry.DeleteFunction(registry_pb2.DeleteFunctionRequest(function_id=function_id))

        async def verify(key: str) -> str:
            return (await registry.VerifyApiKey(registry_pb2.VerifyApiKeyRequest(secret=key))).principal

        functions = Functions(read_function, settings.invoker_function_cache_s)
        stored = ArtifactsClient(artifacts)
        sent = SentJobs(jobs)
        results = JobReader(jobs, stored)
        limits = SubmitLimits(
            settings.invoker_wait_s, settings.invoker_payload_bytes, message_bytes=settings.invoker_message_bytes
        )
        check = partial(check_redis, settings.jobs_url, may_evict=settings.redis_may_evict)
        watch = StoreWatch(check, settings.invoker_store_check_s)
        submitter = Submitter(
            functions, jobs, queue, sent=sent, results=results, artifacts=stored, watch=watch, limits=limits
        )
        dead_letters = DeadLetters(queue, jobs, stored)
        retirement = Retirement(read_function, delete_function, jobs, functions)
        sweeper = Sweeper(jobs, queue, stored, retirement, unsent_s=settings.invoker_unsent_s)
        authenticator = Authenticator(
            required=settings.auth_required(settings.invoker_listen), internal_token=token, verify=verify
        )
        bound = Bound(
            invoker_pb2.DESCRIPTOR.services_by_name["InvokerService"],
            invoker_pb2_grpc.add_InvokerServiceServicer_to_server,
            InvokerServicer(submitter, jobs, results=results, dead_letters=dead_letters, retirement=retirement),
        )

        for loop in (
            sweeper.run(settings.invoker_sweep_s),
            sent.run(),
            watch.run(),
            dead_letters.watch(settings.invoker_dead_letters_s),
        ):
            stack.callback(asyncio.create_task(loop).cancel)
        probes = _probes(jobs, queue, watch)
        await stack.enter_async_context(serving(settings.invoker_listen, authenticator, [bound], probes))
        await until_stopped()


def _probes(jobs: JobStore, queue: TaskQueue, watch: StoreWatch) -> dict[str, Probe]:
    async def redis_works() -> None:
        await jobs.ping()
        await watch.look()
        watch.require_safe()

    return {"redis": redis_works, "queue": queue.depth}
