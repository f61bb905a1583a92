"""What the archive gets, and when, whatever fails; over stores in folders."""

import asyncio
import hashlib

import orjson
import pytest

from nanogrid.errors import UnavailableError
from services.artifacts.copier import Intent, intent_of
from services.artifacts.outage import Backoff, Outage
from support.archive_grid import CODE, DIGEST, KEY, Grid, at_work, record
from support.waiting import until


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
