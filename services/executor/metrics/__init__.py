"""The port PeakSink, which records the peak memory of every call for the operator's graphs."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

__all__ = ["NAMESPACE", "PeakSink", "open_peaks"]

NAMESPACE = "NanoGrid/FunctionRunner"

_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/-][A-Za-z0-9._/:-]{0,254}")  # CloudWatch's rule, without `#`


class PeakSink(Protocol):
    """Records peaks without ever delaying a call: undeliverable peaks are dropped, and counted in the log."""

    def observe(self, function_id: str, runtime: str, peak_bytes: int) -> None:
        """Record the peak of one call. 0 means not measured, and is skipped. Returns at once and never fails."""


class _Nowhere:
    """A sink that drops all peaks, for grids without such graphs."""

    def observe(self, function_id: str, runtime: str, peak_bytes: int) -> None:
        """See the port."""


@asynccontextmanager
async def open_peaks(url: str, flush_s: float) -> AsyncIterator[PeakSink]:
    """Open the sink of `url`: "" for none, `cloudwatch:` or `cloudwatch://Namespace`.

    Peaks are sent every `flush_s` seconds, and once more, for a short time, at the end.
    """
    if not url:
        yield _Nowhere()
        return
    scheme, colon, rest = url.partition(":")
    namespace = rest.removeprefix("//") or NAMESPACE
    if scheme + colon != "cloudwatch:" or not _NAMESPACE.fullmatch(namespace):
        able = 'cloudwatch: or cloudwatch://Namespace, or "" for no metrics'
        raise ValueError(f"NANOGRID_EXECUTOR_METRICS_URL: {url!r} is not understood; use {able}")
    from services.executor.metrics.cloudwatch import open_cloudwatch  # noqa: PLC0415 - an SDK is loaded on use

    async with open_cloudwatch(namespace, flush_s) as sink:
        yield sink
