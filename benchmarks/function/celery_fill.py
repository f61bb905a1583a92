"""Queues the celery task with an event (first argument) so many times (second), and waits for none of them."""

import json
import sys

from celery_tasks import handle


def main() -> None:
    event = json.loads(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        handle.delay(event)


if __name__ == "__main__":
    main()
