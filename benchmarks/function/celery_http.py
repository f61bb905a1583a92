"""The celery task behind the web framework that our own gateway uses: the whole path of a call, as its users build it."""

from typing import Any

from celery_tasks import handle
from fastapi import Body, FastAPI

app = FastAPI()


@app.post("/")
def call(event: Any = Body()) -> Any:  # noqa: B008 - as FastAPI's documentation has it; a thread per call
    return handle.delay(event).get(timeout=30)
