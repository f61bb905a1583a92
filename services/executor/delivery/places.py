"""The places of an executor: as many jobs as it has of them run at a time."""

import asyncio
from collections import deque
from collections.abc import Callable


class Places:
    """Counts places. For one event loop. `on_change` is called whenever one becomes free."""

    def __init__(self, count: int, on_change: Callable[[], None]) -> None:
        self._count = count
        self._on_change = on_change
        self._taken = 0
        self._returning: deque[tuple[asyncio.Future[None], bool]] = deque()  # with whether they are sync
        self.taken_async = 0  # by jobs of the async lane

    @property
    def free(self) -> int:
        """Return how many may be taken now. None is free while a job waits to have its own back."""
        return 0 if self._returning else self._count - self._taken

    def take(self, *, sync: bool) -> "Place":
        """Take a free place for a job."""
        self._count_in(sync=sync)
        return Place(self, sync=sync)

    def give(self, *, sync: bool) -> None:
        """Give a place back: to the job that has waited longest for its own, else to the messages of the queue."""
        self._taken -= 1
        self.taken_async -= not sync
        if self._returning:
            waiting, its_sync = self._returning.popleft()
            self._count_in(sync=its_sync)  # at once, so that no other can take it before that job is resumed
            waiting.set_result(None)
        else:
            self._on_change()

    def take_back(self, *, sync: bool) -> "asyncio.Future[None]":
        """Ask for a place for a job that had one before. The future ends when it has it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._taken < self._count:
            self._count_in(sync=sync)
            waiting.set_result(None)
        else:
            self._returning.append((waiting, sync))
        return waiting

    def give_up(self, waiting: "asyncio.Future[None]", *, sync: bool) -> None:
        """Give back what `take_back` gave, or take the question back."""
        if (waiting, sync) in self._returning:
            self._returning.remove((waiting, sync))
            self._on_change()
        else:
            self.give(sync=sync)

    def _count_in(self, *, sync: bool) -> None:
        self._taken += 1
        self.taken_async += not sync


class Place:
    """One job's place. It is left while the job waits for something that is not this executor's to give."""

    def __init__(self, places: Places, *, sync: bool) -> None:
        self._places = places
        self._sync = sync
        self._held = True
        self._returning: asyncio.Future[None] | None = None

    def leave(self) -> None:
        """Let another job have it. Idempotent."""
        if self._held:
            self._held = False
            self._places.give(sync=self._sync)
        elif self._returning is not None:
            self._places.give_up(self._returning, sync=self._sync)
            self._returning = None

    def ask_back(self) -> None:
        """Ask for a place again, before messages of the queue get one."""
        self._returning = self._places.take_back(sync=self._sync)

    async def come_back(self) -> None:
        """Wait for the place that was asked for."""
        if self._returning is not None:
            await asyncio.shield(self._returning)  # a job that is cancelled meanwhile leaves it in the end
            self._held, self._returning = True, None
