"""`python -m services.invoker`: run the invoker until SIGTERM."""

from nanogrid import logs
from nanogrid.rpc import server
from services.invoker.bootstrap import serve
from services.invoker.settings import InvokerSettings

if __name__ == "__main__":
    settings = InvokerSettings()
    logs.configure("invoker", settings.log_level)
    server.run(lambda: serve(settings))
