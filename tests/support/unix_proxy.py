"""A unix socket that passes everything on to another, and can be taken away. It has threads of its own."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UnixProxy:
    """While it is `away`, connections end as they are made."""

    def __init__(self, upstream: str, path: Path) -> None:
        self._upstream = upstream
        self._sockets: list[socket.socket] = []
        self.away = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def leave(self) -> None:
        """Break off all connections and be away."""
        self.away = True
        while self._sockets:
            _end(self._sockets.pop())

    def close(self) -> None:
        """Stop for good."""
        _end(self._listener)
        self._accepting.join()
        self.leave()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self.away:
                    here.close()
                    continue
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._upstream)
                self._sockets += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def unix_proxy(upstream: str, path: Path) -> Iterator[UnixProxy]:
    """Open a proxy at `path`."""
    proxy = UnixProxy(upstream, path)
    try:
        yield proxy
    finally:
        proxy.close()
