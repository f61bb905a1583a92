"""Runs the registry: `python -m services.registry`."""

from nanogrid import logs
from nanogrid.rpc import server
from services.registry.bootstrap import main
from services.registry.settings import RegistrySettings

logs.configure("registry", RegistrySettings().log_level)
server.run(main)
