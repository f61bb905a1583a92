"""Runs the gateway: `python -m gateway`."""

import logging
import signal

import uvicorn

from gateway.app import create_app
from gateway.settings import GatewaySettings
from nanogrid import logs

log = logs.logger()

KEEP_ALIVE_S = 310  # longer than the balancer's 300 s, so that it never reuses a connection that is being closed


def server(settings: GatewaySettings) -> uvicorn.Server:
    """Return an HTTP server for these settings, not yet started."""
    host, _, port = settings.gateway_listen.rpartition(":")
    config = uvicorn.Config(
        create_app(settings),
        host=host.strip("[]"),
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # uvicorn would believe any proxy on this machine; see forwarded
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.gateway_grace_s,
    )
    return uvicorn.Server(config)


def main() -> None:
    """Serve until SIGTERM."""
    settings = GatewaySettings()
    logs.configure("gateway", settings.log_level)
    # Errors of clients are answered, not logged.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # uvicorn raises the signal again after a graceful stop, which should count as a normal exit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    log.info("serving", listen=settings.gateway_listen, auth=settings.auth_required(settings.gateway_listen))
    server(settings).run()
    log.info("stopped")


if __name__ == "__main__":
    main()
