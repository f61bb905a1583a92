"""Chooses the way gRPC polls its sockets. Imported by each process before gRPC, which reads its settings on import."""

import os

# grpc.aio's own thread polls, instead of event-engine threads that hand everything over to it: a call costs 0.29 ms of
# processor time at both ends together instead of 0.36, and answers 0.1 ms sooner. gRPC only logs a name it has dropped.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_poller_for_python")
