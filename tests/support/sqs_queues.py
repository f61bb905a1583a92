"""Receives from an SQS queue in tests."""

from nanogrid.queue import Delivery, TaskQueue
from support.sqs.shelf import Shelf
from support.sqs_server import SqsHere

VISIBILITY_S = 30.0


def shelf(server: SqsHere) -> Shelf:
    return server.cloud.shelves["tasks"]


async def only(queue: TaskQueue) -> Delivery:
    [delivery] = await queue.receive(1, 5)
    return delivery


async def take(queue: TaskQueue, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += await queue.receive(10, 5)
    return taken
