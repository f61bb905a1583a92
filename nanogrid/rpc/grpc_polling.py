"""Chooses how gRPC polls its sockets. Processes import it before gRPC, which reads its settings on import."""

import os

# grpc.aio's own thread polls, instead of event-engine threads that pass everything on to it. A call then costs 0.29 ms
# of processor time at both ends together instead of 0.36 ms, and its answer comes 0.1 ms sooner. If gRPC removes this
# name, it only logs that.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_poller_for_python")
