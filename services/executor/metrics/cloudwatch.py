"""Implements PeakSink on CloudWatch: collects observations in memory and sends them from a thread."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from nanogrid import aws
from nanogrid.logs import logger
from services.executor.metrics.batch import MOST_POINTS, Batch, Datum, calls_of

log = logger()

_METRIC = "PeakMemoryBytes"
_CLOSE_S = 3.0  # for the last delivery, because it delays the executor's end
_READ_S = 5.0  # for an answer: no call waits for it, but it delays the next delivery
_EARLY_POINTS = MOST_POINTS // 3  # this many are sent at once, long before any is dropped
_PAUSE_S = 1.0  # minimum between two deliveries
_DIMENSION = 255  # characters sent of a dimension's value. Ids are shorter

# CloudWatch will never accept the call, and repeating it would block the following ones.
_REFUSED = frozenset(
    {
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "MissingRequiredParameterException",
        "RequestEntityTooLarge",
        "ValidationError",
        "ValidationException",
    }
)


@asynccontextmanager
async def open_cloudwatch(namespace: str, flush_s: float) -> AsyncIterator["CloudWatchPeaks"]:
    """Start the thread, which logs when CloudWatch cannot be reached. Stop it after the block."""
    peaks = CloudWatchPeaks(namespace, flush_s)
    peaks.start()
    try:
        yield peaks
    finally:
        await peaks.close()


class CloudWatchPeaks:
    """Sends peaks to CloudWatch. Any thread may observe. The lock is never held during a call to AWS."""

    def __init__(self, namespace: str, flush_s: float, most_points: int = MOST_POINTS) -> None:
        self._namespace = namespace
        self._flush_s = flush_s
        self._batch = Batch(most_points)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._client: Any = None
        self._failing = False
        logged = contextvars.copy_context()  # so that its log lines name the service, too
        # A daemon thread, so that the process waits for it no longer than `close` does.
        self._thread = threading.Thread(target=logged.run, args=(self._run,), name="cloudwatch", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def observe(self, function_id: str, runtime: str, peak_bytes: int) -> None:
        """See the port."""
        if peak_bytes <= 0:
            return
        with self._lock:
            self._batch.add(function_id, runtime, peak_bytes)
            many = self._batch.points >= _EARLY_POINTS
        if many and not self._failing:
            self._wake.set()

    async def close(self) -> None:
        """Send the rest within `_CLOSE_S` seconds, or drop it."""
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        if self._thread.is_alive():
            log.warning("the last peaks were not delivered to CloudWatch in time, and are dropped")

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self._flush()
            self._closing.wait(_PAUSE_S)
        self._flush()

    def _flush(self) -> None:
        """Send all data, oldest first. Data that could not be sent wait for the next time."""
        with self._lock:
            data = self._batch.take()
        calls = list(calls_of(data))
        while calls:
            try:
                self._deliver(calls[0])
            except Exception as error:  # noqa: BLE001 - the thread must survive any error of the SDK
                if not self._is_refused(error, calls[0]):
                    break
            calls.pop(0)
        with self._lock:
            self._batch.put_back([datum for call in calls for datum in call])
            dropped, self._batch.dropped = self._batch.dropped, 0
        if dropped:
            log.warning("peak memory dropped: more came than could be delivered to CloudWatch", dropped=dropped)
        if not calls and self._failing:
            self._failing = False
            log.info("CloudWatch takes metrics again")

    def _deliver(self, call: list[Datum]) -> None:
        if self._client is None:
            self._client = aws.client("cloudwatch", connections=1, read_s=_READ_S)
        self._client.put_metric_data(Namespace=self._namespace, MetricData=[_told(datum) for datum in call])

    def _is_refused(self, error: Exception, call: list[Datum]) -> bool:
        """Return whether CloudWatch refused the call for good. An outage is logged once, when it begins."""
        code = aws.code_of(error) if isinstance(error, ClientError) else ""
        if code in _REFUSED or isinstance(error, ParamValidationError):
            dropped = sum(datum.calls for datum in call)
            log.error("CloudWatch refused metrics", code=code, detail=str(error)[:200], dropped=dropped)
            return True
        if not self._failing:
            self._failing = True
            cure = "give the machine's role cloudwatch:PutMetricData and set AWS_REGION; metrics are kept meanwhile"
            log.warning("CloudWatch does not take metrics", code=code, detail=str(error)[:200], cure=cure)
        return False


def _told(datum: Datum) -> dict[str, Any]:
    return {
        "MetricName": _METRIC,
        "Dimensions": [
            {"Name": "FunctionId", "Value": _dimension(datum.function_id)},
            {"Name": "Runtime", "Value": _dimension(datum.runtime)},
        ],
        "Timestamp": datum.began_at,
        "Values": [float(value) for value in datum.counts],
        "Counts": [float(count) for count in datum.counts.values()],
        "Unit": "Bytes",
    }


def _dimension(text: str) -> str:
    """Return the text as CloudWatch accepts it: ASCII, not empty, without a leading colon."""
    ascii_only = text.encode("ascii", "replace").decode()[:_DIMENSION].strip().lstrip(":")
    return ascii_only or "none"
