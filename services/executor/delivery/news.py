"""Builds the record published on `result:{job_id}` when a job ends, with URLs of its output files."""

from nanogrid.artifacts import Artifacts
from nanogrid.errors import NanoGridError
from nanogrid.jobs import record
from nanogrid.logs import logger
from nanogrid.v1.resources_pb2 import Job

log = logger()


class ResultNews:
    """Builds news of results. Safe to use concurrently. `public_url` is the gateway's address, "" = relative URLs."""

    def __init__(self, artifacts: Artifacts, public_url: str = "") -> None:
        self._artifacts = artifacts
        self._public_url = public_url.rstrip("/")

    async def write(self, job: Job) -> bytes:
        """Return the news of a job, or b"" when its record says the same.

        While artifacts is down that is the case: the record has object keys, and `GET /status` makes the URLs.
        """
        if not job.output_files:
            return b""
        try:
            urls = await self._artifacts.sign_outputs([file.key for file in job.output_files])
        except NanoGridError as error:
            log.warning("published without URLs of its output files", error=error.message)
            return b""
        return record.encode_news(job, [self._public_url + url if url.startswith("/") else url for url in urls])
