"""Runs artifacts: `python -m services.artifacts`."""

from nanogrid import logs
from nanogrid.rpc import server
from services.artifacts.bootstrap import main
from services.artifacts.settings import ArtifactsSettings

logs.configure("artifacts", ArtifactsSettings().log_level)
server.run(main)
