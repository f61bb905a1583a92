"""The peers' own environment, and the ports their servers get."""

import platform
import socket
import subprocess
from pathlib import Path

from benchmarks.processes import PeerMissingError, wait_until

_HERE = Path(__file__).parent
VENV = _HERE.parent / ".venv"


def install() -> str:
    """Install the peers unless they are there; what went wrong, or nothing. Arms without their peer are left out."""
    done = subprocess.run([_HERE / "install.sh"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr[-500:]


def tool(name: str) -> str:
    """A program of the peers' environment."""
    path = VENV / "bin" / name
    if not path.exists():
        raise PeerMissingError(f"{name} is not in {VENV}")
    return str(path)


def emulator() -> Path:
    """AWS's runtime interface emulator for this machine."""
    suffix = "arm64" if platform.machine() == "aarch64" else "x86_64"
    for path in VENV.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{suffix}"):
        return path
    raise PeerMissingError(f"the runtime interface emulator is not in {VENV}")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_s: float = 30.0) -> None:
    """Wait until somebody listens."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, f"a server on port {port}", timeout_s)
