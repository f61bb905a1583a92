"""What the archive gets, and when, whatever fails; over stores in folders."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from nanogrid.errors import UnavailableError
from nanogrid.jobs.record import encode
from nanogrid.v1.resources_pb2 import Job, JobState
from services.artifacts.archive import WATERMARK, Archive, Pace
from services.artifacts.blobs import open_blobs
from services.artifacts.copier import Copier, Intent, Recent, intent_of
from services.artifacts.outage import Backoff, Outage
from support.faulty_blobs import FaultyBlobs
from support.waiting import until

JSON = "application/json"
CODE = b"PK..." * 1000
DIGEST = hashlib.sha256(CODE).hexdigest()
KEY = "functions/1b4e28ba-2fa1-41d2-883f-0016d3cca427/code.zip"
PACE = Pace(
    parallel=4, waiting=50, backoff=Backoff(0.002, 0.02), reconcile_s=1000, rest_s=0.01, slack_s=0
)  # fmt: skip


def record(job_id: str, state: str = "SUCCESS", *, key: str = KEY, digest: str = DIGEST, result: bytes = b"1") -> bytes:
    job_state = JobState.Value(f"JOB_STATE_{state}")
    return encode(Job(job_id=job_id, state=job_state, result=result, s3_key=key, code_sha256=digest))


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100):
        yield content[start : start + 100]


class Grid:
    """The grid's stores and the archive's."""

    def __init__(self, code: FaultyBlobs, data: FaultyBlobs, target: FaultyBlobs, folder: Path) -> None:
        self.code, self.data, self.target, self.folder = code, data, target, folder

    def archive(self, name: str = "gs://one", **pace: Any) -> Archive:
        told = {field: getattr(PACE, field) for field in PACE.__slots__} | pace
        return Archive(Copier(self.code, self.data, self.target), self.data, name, Pace(**told))

    async def keep(self, *job_ids: str, age_s: float = 0, **said: Any) -> None:
        await self.data.real.put_new({f"results/{one}.json": record(one, **said) for one in job_ids}, content_type=JSON)
        for one in job_ids if age_s else ():
            path = self.folder / "data/results" / f"{one}.json"
            os.utime(path, (time.time() - age_s,) * 2)

    async def archived(self) -> set[str]:
        found = {one.key async for one in self.target.real.list("results/")}
        return {key.removeprefix("results/").removesuffix(".json") for key in found}

    async def codes(self) -> set[str]:
        return {one.key async for one in self.target.real.list("code/")}

    def has(self, *job_ids: str) -> bool:
        return all((self.folder / f"target/results/{one}.json").exists() for one in job_ids)


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[Grid]:
    async with AsyncExitStack() as stack:
        stores = [
            FaultyBlobs(await stack.enter_async_context(open_blobs((tmp_path / name).as_uri())))
            for name in ("code", "data", "target")
        ]
        await stores[0].real.put(KEY, stream(CODE), content_type="application/zip", sha256=DIGEST)
        yield Grid(*stores, tmp_path)


@asynccontextmanager
async def at_work(archive: Archive) -> AsyncIterator[Archive]:
    task = asyncio.create_task(archive.run())
    try:
        yield archive
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.wait([task])


class TestWhat:
    """What goes in."""

    async def test_a_success_goes_in_with_its_code(self, grid: Grid) -> None:
        await grid.keep("job-1")
        async with at_work(grid.archive()) as archive:
            archive.offer("job-1", record("job-1"))
            await until(lambda: grid.has("job-1"))

        assert await grid.target.read("results/job-1.json") == record("job-1")
        assert await grid.target.read(f"code/{DIGEST}.zip") == CODE
        assert (await grid.target.head(f"code/{DIGEST}.zip")).sha256 == DIGEST

    async def test_the_code_of_many_jobs_goes_in_once(self, grid: Grid) -> None:
        jobs = [f"job-{n}" for n in range(30)]
        async with at_work(grid.archive()) as archive:
            for job in jobs:
                archive.offer(job, record(job))
            await until(lambda: archive.tally.results == 30)

        assert grid.target.counts["put"] == archive.tally.codes == 1
        assert await grid.archived() == set(jobs)

    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
    async def test_what_is_no_success_stays_out(self, grid: Grid, state: str) -> None:
        await grid.keep("job-1", state=state)
        async with at_work(grid.archive()) as archive:
            archive.offer("job-1", record("job-1", state))
            archive.offer("job-2", b"no record")
            archive.offer("job-3", record("job-3"))
            await until(lambda: grid.has("job-3"))

        assert await grid.archived() == {"job-3"}

    async def test_inline_code_leaves_the_result_alone(self, grid: Grid) -> None:
        async with at_work(grid.archive()) as archive:
            archive.offer("job-1", record("job-1", key="", digest=""))
            await until(lambda: grid.has("job-1"))

        assert await grid.codes() == set()

    async def test_code_whose_digest_nobody_told_is_looked_at(self, grid: Grid) -> None:
        (grid.folder / "code/mine").mkdir()
        (grid.folder / "code/mine/code.zip").write_bytes(b"put there by hand")

        async with at_work(grid.archive()) as archive:
            archive.offer("job-1", record("job-1", key="mine/code.zip", digest=""))
            await until(lambda: grid.has("job-1"))

        assert await grid.codes() == {f"code/{hashlib.sha256(b'put there by hand').hexdigest()}.zip"}

    @pytest.mark.parametrize("key", ["mine/code.zip", "mine/none.zip", "../../etc/passwd", KEY])
    async def test_code_that_is_gone_or_replaced_does_not_hold_the_result_up(self, grid: Grid, key: str) -> None:
        (grid.folder / "code/mine").mkdir()
        (grid.folder / "code/mine/code.zip").write_bytes(b"other code")

        async with at_work(grid.archive()) as archive:
            for job in ("job-1", "job-2"):
                archive.offer(job, record(job, key=key, digest="ab" * 32))
                await until(lambda job=job: grid.has(job))

        assert await grid.codes() == set()
        assert archive.tally.lost_codes == 1

    @pytest.mark.parametrize("size", [100_000, 3_000_000])
    async def test_large_results_go_in(self, grid: Grid, size: int) -> None:
        large = {"result": orjson.dumps("x" * size)}
        await grid.keep("job-1", **large)
        async with at_work(grid.archive()) as archive:
            archive.offer("job-1", record("job-1", **large))
            await until(lambda: grid.has("job-1"))

        assert await grid.target.read("results/job-1.json") == record("job-1", **large)

    @pytest.mark.parametrize(
        "said", [b"", b"[]", b"null", b'"x"', b"{}", b'{"status":"FAILED"}', b'{"status":"SUCCESS']
    )
    def test_what_is_no_record_of_success_asks_for_nothing(self, said: bytes) -> None:
        assert intent_of(said) is None

    def test_a_digest_that_is_none_is_not_believed(self) -> None:
        said = {"status": "SUCCESS", "s3_key": "a/b", "code_sha256": "../../x"}

        assert intent_of(orjson.dumps(said)) == Intent("a/b", "")
        assert intent_of(orjson.dumps(said | {"s3_key": 7})) is None


class TestOutages:
    """When it cannot be done at once."""

    async def test_all_that_came_while_it_was_down_is_archived_afterwards(self, grid: Grid) -> None:
        jobs = [f"job-{n}" for n in range(40)]
        grid.target.down = True
        async with at_work(grid.archive()) as archive:
            for job in jobs:
                archive.offer(job, record(job))
            await until(lambda: grid.target.counts["put_new"] > 5)
            assert await grid.archived() == set()

            grid.target.down = False
            await until(lambda: grid.has(*jobs))

    async def test_one_alone_asks_whether_it_is_over(self, grid: Grid) -> None:
        grid.target.down = True
        async with at_work(grid.archive(parallel=8, waiting=500)) as archive:
            for n in range(500):
                archive.offer(f"job-{n}", record(f"job-{n}"))
            await until(lambda: grid.target.counts["put_new"] > 8)

            # Each of the eight has tried once; since then it is asked for, not knocked at by all.
            assert grid.target.counts["head"] <= 8

    async def test_what_is_too_much_to_keep_in_mind_is_found_again(self, grid: Grid) -> None:
        jobs = [f"job-{n}" for n in range(100)]
        grid.target.down = True
        async with at_work(grid.archive(waiting=5)) as archive:
            await until(lambda: grid.target.counts["put_new"] > 0 or grid.data.counts["list"] > 0)
            await grid.keep(*jobs)
            for job in jobs:
                archive.offer(job, record(job))

            grid.target.down = False
            await until(lambda: grid.has(*jobs))

    async def test_a_result_that_cannot_be_archived_does_not_keep_the_others_out(self, grid: Grid) -> None:
        jobs = [f"job-{n}" for n in range(30)]
        grid.target.cursed = {
            "results/job-0.json": UnavailableError("cursed"),
            "results/job-1.json": RuntimeError("a fault of ours"),
        }
        async with at_work(grid.archive(parallel=2)) as archive:
            for job in jobs:
                archive.offer(job, record(job))
            await until(lambda: grid.has(*jobs[2:]))

            grid.target.cursed = {}
            await until(lambda: grid.has("job-0"))

    async def test_offering_needs_nobody_who_takes(self, grid: Grid) -> None:
        archive = grid.archive(waiting=3)

        for n in range(100):
            archive.offer(f"job-{n}", record(f"job-{n}"))

        assert grid.target.counts == {}

    @pytest.mark.parametrize("failures", [1, 2, 5, 1000, 10**6])
    def test_waits_grow_up_to_a_bound_and_differ(self, failures: int) -> None:
        bound = min(60.0, 2.0 ** min(failures - 1, 10))

        waits = {Backoff(1.0, 60.0).wait_s(failures) for _ in range(20)}

        assert bound / 2 <= min(waits) < max(waits) <= bound

    async def test_an_outage_is_over_once_a_probe_comes_through(self) -> None:
        asked = 0

        async def probe() -> None:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise UnavailableError("still down")

        outage = Outage(probe, Backoff(0.001, 0.002))
        await outage.over()
        assert asked == 0

        outage.begin(UnavailableError("down"))
        await asyncio.gather(*(outage.over() for _ in range(20)))

        assert asked == 4


class TestReconcile:
    """What a process that died had in mind."""

    async def test_what_was_kept_and_not_archived_is_found_at_the_start(self, grid: Grid) -> None:
        await grid.keep("job-1", "job-2")
        await grid.keep("job-3", state="FAILED")

        async with at_work(grid.archive()):
            await until(lambda: grid.has("job-1", "job-2"))

        assert await grid.archived() == {"job-1", "job-2"}

    async def test_only_what_is_newer_than_the_watermark_is_looked_at(self, grid: Grid) -> None:
        await grid.keep("job-old", age_s=100)
        await grid.archive().reconcile()
        await grid.target.delete("results/job-old.json")
        await grid.keep("job-new")

        await grid.archive().reconcile()

        assert await grid.archived() == {"job-new"}

    async def test_the_watermark_is_when_the_listing_began_less_the_slack(self, grid: Grid) -> None:
        await grid.keep("job-1")
        before_s = time.time()
        archive = grid.archive(slack_s=100)

        await archive.reconcile()

        assert before_s - 100 <= await archive.watermark() <= time.time() - 100
        assert orjson.loads(await grid.data.read(WATERMARK)).keys() == {"until_s", "archive"}

    async def test_it_does_not_move_past_what_could_not_be_archived(self, grid: Grid) -> None:
        await grid.keep(*(f"job-{n}" for n in range(10)))
        grid.target.cursed = {"results/job-7.json": UnavailableError("cursed")}
        archive = grid.archive()

        with pytest.raises(UnavailableError):
            await archive.reconcile()
        assert await archive.watermark() == 0

        grid.target.cursed = {}
        await archive.reconcile()
        assert await archive.watermark() > 0
        assert len(await grid.archived()) == 10

    async def test_it_never_moves_back(self, grid: Grid) -> None:
        await grid.archive().reconcile()
        until_s = await grid.archive().watermark()

        await grid.archive(slack_s=1000).reconcile()

        assert await grid.archive().watermark() == until_s

    async def test_another_archive_gets_everything_anew(self, grid: Grid) -> None:
        await grid.keep("job-1", age_s=100)
        await grid.archive("gs://one").reconcile()
        await grid.target.delete("results/job-1.json")

        await grid.archive("gs://other").reconcile()

        assert await grid.archived() == {"job-1"}

    async def test_what_is_there_already_is_not_read_again(self, grid: Grid) -> None:
        await grid.keep("job-1", "job-2")
        await grid.archive().reconcile()
        await grid.data.delete(WATERMARK)
        reads = grid.data.counts["read"]

        await grid.archive().reconcile()

        assert grid.data.counts["read"] - reads <= 2  # the watermark's

    async def test_several_processes_do_the_same_without_harm(self, grid: Grid) -> None:
        jobs = [f"job-{n}" for n in range(30)]
        await grid.keep(*jobs)

        await asyncio.gather(*(grid.archive().reconcile() for _ in range(4)))

        assert await grid.archived() == set(jobs)
        assert await grid.target.read(f"code/{DIGEST}.zip") == CODE

    async def test_foreign_objects_among_the_results_are_left_alone(self, grid: Grid) -> None:
        for key in ("results/read me.txt", "results/a/b.json", "results/job-2.json.bak"):
            await grid.data.put_new({key: b"?"}, content_type=JSON)
        await grid.keep("job-1")

        await grid.archive().reconcile()

        assert await grid.archived() == {"job-1"}

    @pytest.mark.parametrize("said", [b"", b"[]", b'{"until_s": "x", "archive": "gs://one"}', b'{"until_s": 9e99}'])
    async def test_a_watermark_that_is_none_is_not_believed(self, grid: Grid, said: bytes) -> None:
        await grid.data.put_new({WATERMARK: said}, content_type=JSON)

        assert await grid.archive().watermark() == 0

    async def test_it_is_left_to_another_process_that_did_it_lately(self, grid: Grid) -> None:
        async with at_work(grid.archive(reconcile_s=0.02)), at_work(grid.archive(reconcile_s=0.02)):
            await until(lambda: grid.data.counts["list"] >= 4)
        lists, reads = grid.data.counts["list"], grid.data.counts["read"]

        async with at_work(grid.archive(reconcile_s=0.02, slack_s=1000)) as patient:
            await grid.data.put(WATERMARK, stream(orjson.dumps({"until_s": time.time(), "archive": "gs://one"})),
                                content_type=JSON)  # fmt: skip
            await until(lambda: grid.data.counts["read"] > reads + 10)

        assert grid.data.counts["list"] <= lists + 2
        assert await patient.watermark() > 0


class TestBeforeCodeGoes:
    """Code that is deleted is archived first."""

    async def test_code_that_never_ran_is_archived(self, grid: Grid) -> None:
        await grid.archive().before_code_goes(KEY)

        assert await grid.target.read(f"code/{DIGEST}.zip") == CODE

    async def test_it_is_refused_while_the_archive_is_down(self, grid: Grid) -> None:
        archive = grid.archive()
        grid.target.down = True
        with pytest.raises(UnavailableError, match="cannot be archived yet"):
            await archive.before_code_goes(KEY)

        grid.target.down = False
        await archive.before_code_goes(KEY)

        assert await grid.codes() == {f"code/{DIGEST}.zip"}

    async def test_code_that_is_gone_already_is_no_reason_to_refuse(self, grid: Grid) -> None:
        await grid.archive().before_code_goes(KEY.replace("1b4", "000"))

        assert await grid.codes() == set()

    async def test_a_result_that_comes_after_its_code_went_finds_it_archived(self, grid: Grid) -> None:
        async with at_work(grid.archive()) as archive:
            await archive.before_code_goes(KEY)
            await grid.code.delete(KEY)
            archive.offer("job-1", record("job-1"))
            await until(lambda: grid.has("job-1"))

        assert archive.tally.lost_codes == 0


def test_only_the_last_things_are_remembered() -> None:
    recent = Recent(2)
    for thing in "abca":
        recent.remember(thing)

    assert ["a" in recent, "b" in recent, "c" in recent] == [True, False, True]
