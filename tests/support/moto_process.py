"""`python -m support.moto_process PORT`: a moto server on loopback whose DynamoDB answers one request at a time.

Moto handles requests in threads and checks a condition before it writes, without a lock between the two. Of several
conditional writes at once more than one can pass, which DynamoDB never lets happen.
"""

import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_one_at_a_time = threading.Lock()
_moto = DomainDispatcherApplication(create_backend_app)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request as moto does."""
    if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
        return _moto(environ, start_response)
    with _one_at_a_time:
        return list(_moto(environ, start_response))


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
