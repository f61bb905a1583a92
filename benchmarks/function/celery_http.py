"""The celery task behind the web framework that our own gateway uses: a call's whole path, as its users build it."""

from typing import Annotated, Any

from celery_tasks import handle
from fastapi import Body, FastAPI

app = FastAPI()


@app.post("/")
def call(event: Annotated[Any, Body()]) -> Any:
    """Waits in a thread of its own."""
    return handle.delay(event).get(timeout=30)
