"""The handler as a celery task; broker and result backend are the benchmark's own Redis."""

import os

from celery import Celery
from handler import handler

app = Celery("benchmark", broker=os.environ["BENCHMARK_REDIS"], backend=os.environ["BENCHMARK_REDIS"])


@app.task
def handle(event):  # noqa: ANN001, ANN201 - as its documentation has it
    return handler(event, None)
