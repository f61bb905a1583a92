#!/usr/bin/env bash
# grpcio 1.76.0: the server argument behind the macro GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS is not called
# "grpc.http2.min_recv_ping_interval_without_data_ms" but "grpc.http2.min_ping_interval_without_data_ms". The former is
# taken in silence, as any name is, and changes nothing: a client that sends keepalives oftener than every 5 minutes is
# cut off in the middle of a long call (UNAVAILABLE, too_many_pings). Exits with 1 when that is no longer so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check grpcio==1.76.0

"$work/venv/bin/python" - 2>/dev/null <<'PY'
import sys
import time
from concurrent import futures

import grpc

CALL_S, PING_EVERY_MS = 8, 1000


class Slow(grpc.GenericRpcHandler):
    def service(self, details):
        def wait(request, context):
            time.sleep(CALL_S)
            return b"done"

        return grpc.unary_unary_rpc_method_handler(wait)


def long_call(argument):
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[(argument, PING_EVERY_MS)])
    server.add_generic_rpc_handlers((Slow(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pings = [("grpc.keepalive_time_ms", PING_EVERY_MS), ("grpc.http2.max_pings_without_data", 0)]
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=pings) as channel:
            return channel.unary_unary("/slow/Wait")(b"", timeout=60).decode()
    except grpc.RpcError as error:
        return error.code().name
    finally:
        server.stop(0)


print("grpcio", grpc.__version__)
wanted = {
    "grpc.http2.min_ping_interval_without_data_ms": "done",
    "grpc.http2.min_recv_ping_interval_without_data_ms": "UNAVAILABLE",
    "grpc.no_such_argument": "UNAVAILABLE",
}
seen = {}
for argument in wanted:
    seen[argument] = long_call(argument)
    print(f"{argument}: a call of {CALL_S} s with a keepalive every second is {seen[argument]}", flush=True)
if seen != wanted:
    sys.exit("it behaves differently now")
PY
