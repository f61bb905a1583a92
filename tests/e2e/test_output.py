"""Output read while it is written, straight from the executor that the job's record names."""

import time

import grpc

from nanogrid.v1 import executor_pb2 as executor
from nanogrid.v1 import invoker_pb2 as invoker
from nanogrid.v1.executor_pb2_grpc import ExecutorServiceStub
from nanogrid.v1.invoker_pb2_grpc import InvokerServiceStub
from nanogrid.v1.resources_pb2 import JobState
from support.grid import Grid

SLOW = """
import sys, time, os
def handler(event, context):
    print("first")
    print("to stderr", file=sys.stderr)
    sys.stdout.flush()
    while not os.path.exists("/tmp/never"):
        print("tick")
        sys.stdout.flush()
        time.sleep(0.05)
        if time.time() > event["until"]:
            break
    print("last")
"""


def test_a_running_jobs_output_is_streamed_from_its_beginning_to_its_end(grid: Grid) -> None:
    until = time.time() + 2
    job_id = grid.run(grid.upload(SLOW), {"until": until}, **{"X-Async": "true"})["job_id"]
    address = executor_of(grid, job_id)

    with grpc.insecure_channel(address) as channel:
        stream = ExecutorServiceStub(channel).StreamOutput(executor.StreamOutputRequest(job_id=job_id))
        pieces = [(time.time(), piece) for piece in stream]

    assert [piece.sequence for _, piece in pieces] == list(range(len(pieces)))
    stdout = b"".join(p.data for _, p in pieces if p.stream == executor.OUTPUT_STREAM_STDOUT).decode()
    assert stdout.startswith("first\ntick\n")
    assert stdout.endswith("tick\nlast\n")
    assert b"to stderr\n" in [p.data for _, p in pieces]
    assert sum(at < until for at, _ in pieces) > 5, "it came while the job ran"
    assert grid.wait(job_id)["stdout"] == stdout


def executor_of(grid: Grid, job_id: str) -> str:
    with grpc.insecure_channel(grid.address("invoker")) as channel:
        while True:
            job = InvokerServiceStub(channel).GetJob(invoker.GetJobRequest(job_id=job_id)).job
            if job.state == JobState.JOB_STATE_PROCESSING:
                return job.executor_address
            assert job.state == JobState.JOB_STATE_PENDING, job
