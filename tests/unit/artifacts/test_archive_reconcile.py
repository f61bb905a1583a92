"""What the archive finds again by itself, and what it keeps code from being deleted before."""

import asyncio
import time

import orjson
import pytest

from nanogrid.errors import UnavailableError
from services.artifacts.archive import WATERMARK
from support.archive_grid import CODE, DIGEST, JSON, KEY, Grid, at_work, record, stream
from support.waiting import until


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
