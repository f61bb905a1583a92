"""Writes the news of an ended job: its record as published on `result:{job_id}`, output files as URLs."""

from nanogrid.artifacts import Artifacts
from nanogrid.errors import NanoGridError
from nanogrid.jobs import record
from nanogrid.logs import logger
from nanogrid.v1.resources_pb2 import Job

log = logger()


class ResultNews:
    """Safe to use concurrently. `public_url` is the gateway's address for browsers. "" leaves URLs relative."""

    def __init__(self, artifacts: Artifacts, public_url: str = "") -> None:
        self._artifacts = artifacts
        self._public_url = public_url.rstrip("/")

    async def write(self, job: Job) -> bytes:
        """Write the news of a job. B"" where they say the same as its record.

        While artifacts is down they do: object keys instead of URLs, which `GET /status` makes when it is asked.
        """
        if not job.output_files:
            return b""
        try:
            urls = await self._artifacts.sign_outputs([file.key for file in job.output_files])
        except NanoGridError as error:
            log.warning("published without URLs of its output files", error=error.message)
            return b""
        return record.encode_news(job, [self._public_url + url if url.startswith("/") else url for url in urls])
