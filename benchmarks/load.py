"""Load over many connections from one process: as fast as answers come, all at once, or at a fixed rate."""

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.http_client import Connection


@dataclass(frozen=True, slots=True)
class Load:
    """Answers in the order they came: how long each took, and how long all of it took."""

    latencies_ms: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds


@contextmanager
def connections(address: str, count: int) -> Iterator[list[Connection]]:
    """So many kept connections."""
    opened = [Connection(address) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def closed_loop(clients: Sequence[Connection], packed: bytes, seconds: float) -> Load:
    """Every client sends its next request as soon as it is answered, until the time is over."""
    begin = time.perf_counter()

    def again(client: Connection) -> bool:
        if time.perf_counter() - begin >= seconds:
            return False
        _send(client, packed, time.perf_counter())
        return True

    for client in clients:
        _send(client, packed, time.perf_counter())
    latencies = list(_answers(clients, again))
    return Load(latencies, time.perf_counter() - begin)


def all_at_once(clients: Sequence[Connection], requests: Sequence[bytes]) -> Load:
    """Every client sends one request, and all answers are waited for."""
    begin = time.perf_counter()
    for client, packed in zip(clients, requests, strict=True):
        _send(client, packed, begin)
    latencies = list(_answers(clients, lambda _: False))
    return Load(latencies, time.perf_counter() - begin)


def open_loop(clients: Sequence[Connection], packed: bytes, per_second: float, seconds: float) -> Load:
    """Requests at even distances whatever the answers do; each counts from when it was due, so no wait is forgotten."""
    count = int(per_second * seconds)
    free, late, lock = deque(clients), deque[float](), threading.Lock()
    begin = time.perf_counter() + 0.05

    def pace() -> None:
        for number in range(count):
            due = begin + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            with lock:
                if free:
                    _send(free.popleft(), packed, due)
                else:
                    late.append(due)

    def again(client: Connection) -> bool:
        with lock:
            if late:
                _send(client, packed, late.popleft())
            else:
                free.append(client)
        return True

    pacer = threading.Thread(target=pace, name="pacer")
    pacer.start()
    try:
        latencies = list(_answers(clients, again, count))
    finally:
        pacer.join()
    return Load(latencies, time.perf_counter() - begin)


def _send(client: Connection, packed: bytes, began: float) -> None:
    client.began = began
    client.send(packed)


def _answers(
    clients: Sequence[Connection], again: Callable[[Connection], bool], count: int | None = None
) -> Iterator[float]:
    """Latencies in ms as answers come, until `count` of them or until no client goes on `again`."""
    by_fd = {client.fileno(): client for client in clients}
    active = len(clients)
    with select.epoll() as poll:
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        while active and count != 0:
            for fd, _ in poll.poll():
                client = by_fd[fd]
                if client.receive() is None:
                    continue
                yield (time.perf_counter() - client.began) * 1000
                count = None if count is None else count - 1
                active -= not again(client)
