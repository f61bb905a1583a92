"""`python -m services.executor`: run an executor until SIGTERM, then drain it."""

from nanogrid import logs
from nanogrid.rpc import server
from services.executor.bootstrap import serve
from services.executor.settings import ExecutorSettings

if __name__ == "__main__":
    settings = ExecutorSettings()
    logs.configure("executor", settings.log_level)
    server.run(lambda: serve(settings))
