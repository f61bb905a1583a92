"""Calls the celery task: for every number of seconds on stdin, one line of JSON with what was reached."""

import json
import sys
import time
from collections import deque

from celery_tasks import handle

WINDOW = 16  # as many calls under way as the other arms have clients


def main() -> None:
    event = json.loads(sys.argv[1])
    for line in sys.stdin:
        begin = time.perf_counter()
        waiting = deque(handle.delay(event) for _ in range(WINDOW))
        done = 0
        while waiting:
            if waiting.popleft().get(timeout=30) != event:
                raise RuntimeError("not the event")
            done += 1
            if time.perf_counter() - begin < float(line):
                waiting.append(handle.delay(event))
        print(json.dumps({"calls": done, "seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
