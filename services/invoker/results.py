"""Reads jobs from the job store, and from their durable results where the store knows less."""

from nanogrid.artifacts import Artifacts
from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.ids import canonical_id, unknown_job
from nanogrid.jobs import JobStore, record
from nanogrid.jobs.record import RecordError
from nanogrid.v1.resources_pb2 import Job


class JobReader:
    """Reads jobs for callers. Safe to use concurrently."""

    def __init__(self, jobs: JobStore, artifacts: Artifacts) -> None:
        self._jobs = jobs
        self._artifacts = artifacts

    async def get(self, job_id: str) -> Job:
        """Return the job. NotFoundError when it is in neither, UnavailableError when the store is down."""
        try:
            return await self._get(job_id)
        except NotFoundError:  # as it is spelt first: messages put on the queue by hand may spell it in capitals
            if (canonical := canonical_id(job_id)) == job_id:
                raise
        try:
            return await self._get(canonical)
        except NotFoundError:
            raise unknown_job(job_id) from None

    async def _get(self, job_id: str) -> Job:
        try:
            job = await self._jobs.get(job_id)
        except NotFoundError:
            return await self._durable(job_id)
        except UnavailableError as outage:
            try:
                return await self._durable(job_id)
            except NotFoundError:
                raise outage from None
        return await self._mended(job) if job.is_damaged else await self.whole(job)

    async def whole(self, job: Job) -> Job:
        """Return the job with the parts that were too large for the job store, else UnavailableError."""
        return await self._durable(job.job_id) if job.kept_in_artifacts else job

    async def _mended(self, job: Job) -> Job:
        """Return the job from its durable result, else the readable part of its record."""
        try:
            return await self._durable(job.job_id)
        except (NotFoundError, UnavailableError, RecordError):
            return job

    async def _durable(self, job_id: str) -> Job:
        try:
            return record.decode(await self._artifacts.read_result(job_id))
        except NotFoundError:
            raise unknown_job(job_id) from None
