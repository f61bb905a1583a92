"""Runs as PID 1 of a process sandbox: does the work of nanogrid-init, and makes the mounts that Docker would make.

Started by process.py as `launcher.py CONFIG` with JSON, standard library only. `{"probe": true}` only reports, by its
exit status, whether this machine allows new namespaces.
"""

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_FAILED = 125

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), data.encode())
    _check(_libc.mount(*arguments), f"mount {target}")


def _bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _mount(str(source), target, flags=_MS_BIND | _MS_REC)
    if read_only:
        _mount("", target, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _unshare() -> None:
    """Enter new mount and PID namespaces, without root in a user namespace of this user alone."""
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS | _CLONE_NEWPID | (0 if uid == 0 else _CLONE_NEWUSER)
    _check(_libc.unshare(flags), "unshare")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _mirror(there: Path, here: Path, leave_out: frozenset[str]) -> None:
    """Bind the entries of the machine's `there` into `here` one by one, so that other entries can be added."""
    here.mkdir(exist_ok=True)
    for entry in os.scandir(there):
        target = here / entry.name
        if entry.name in leave_out:
            continue
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            _bind(Path(entry.path), target)


def _hide_other_sandboxes(sandboxes: Path, own: Path) -> None:
    """Unmount other sandboxes' volumes here, because this copy of the mounts would keep them from being removed."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split(" ")[4].encode().decode("unicode_escape"))
        if point.is_relative_to(sandboxes) and not point.is_relative_to(own):
            _libc.umount2(os.fsencode(point), _MNT_DETACH)


def _enter_own_root(folder: Path, runtimes: Path) -> None:
    """Enter a root with the machine's files, and the sandbox's folders at their paths in a container."""
    _mount("", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    _hide_other_sandboxes(folder.parent, folder)
    root = folder / "root"
    root.mkdir()
    _mount("tmpfs", root, "tmpfs", data="mode=755,size=1m")
    _mirror(Path("/"), root, frozenset({"code", "opt", "output", "proc", "run", "tmp"}))
    _mirror(Path("/opt"), root / "opt", frozenset({"nanogrid"}))
    resolver = Path("/run/systemd/resolve")  # where /etc/resolv.conf may point
    if resolver.is_dir():
        _bind(resolver, root / "run/systemd/resolve")
    _bind(runtimes, root / "opt/nanogrid", read_only=True)
    _bind(folder / "io", root / "run/nanogrid", read_only=True)
    _bind(folder / "code", root / "code", read_only=True)
    _bind(folder / "tmp", root / "tmp")
    _bind(folder / "output", root / "output")
    for file in (folder / "etc").iterdir():
        _mount(str(file), root / "etc" / file.name, flags=_MS_BIND)
    (root / "proc").mkdir()
    _mount("proc", root / "proc", "proc")
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def _open_streams(io: Path) -> int:
    """Connect descriptors 0, 1 and 2, and return the one to report the exit status on."""
    for number, name, flags in ((0, "/dev/null", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        opened = os.open(io / name, flags)
        os.dup2(opened, number)
        os.close(opened)
    return os.open(io / "status", os.O_WRONLY)


def _start(config: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        _become_runtime(config)
    return child


def _become_runtime(config: dict[str, Any]) -> NoReturn:
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvpe(config["command"][0], config["command"], config["env"])  # noqa: S606 - no shell is wanted


def _wait(child: int) -> tuple[int, int]:
    """Reap children until `child` ends. Return its exit status, and the signal that killed it or 0."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            number = os.WTERMSIG(status)
            return (128 + number if number else os.WEXITSTATUS(status)), number


def _report(report: int, code: int, killer: int) -> NoReturn:
    """Report the exit status and wait to be killed, because the cgroup's counters must still be read."""
    os.write(report, b"%d\n%d\n" % (code, killer))
    for number in (0, 1, 2):
        os.close(number)
    gone = select.poll()
    gone.register(report, 0)
    gone.poll()  # until the other end is closed
    os._exit(code)


def _init(config: dict[str, Any]) -> NoReturn:
    folder = Path(config["folder"])
    report = _open_streams(folder / "io")
    code, killer = _FAILED, 0
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if config["isolate"]:
            _enter_own_root(folder, Path(config["runtimes"]))
        code, killer = _wait(_start(config))
        if config["isolate"]:
            os.kill(-1, signal.SIGKILL)  # kills everything the function left running, because the namespace is its own
    except ProcessLookupError:
        pass  # it left nothing
    except OSError:
        traceback.print_exc()
        sys.stderr.flush()
    _report(report, code, killer)


def _probe() -> None:
    _unshare()
    child = os.fork()
    if child:
        os._exit(_wait(child)[0])
    _mount("", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", Path("/proc/sys"), "tmpfs")
    _mount("proc", Path("/proc"), "proc")
    os._exit(0)


def main() -> None:
    """Become the process described by CONFIG."""
    config = json.loads(sys.argv[1])
    if config.get("probe"):
        _probe()
    for procs in config["cgroups"]:
        Path(procs).write_text("0")
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if config["isolate"]:
        _unshare()
    child = os.fork()
    if child == 0:
        _init(config)
    os._exit(_wait(child)[0])


if __name__ == "__main__":
    main()
