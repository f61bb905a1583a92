"""Each sandbox's uid has an account and a home, and its loopback has names."""

import json
from pathlib import Path

import pytest

from nanogrid.runtimes import Runtime
from services.executor.sandbox.etc import accounts, container_files, machine_files
from support.programs import CPP, GO, Builder, Kept, require
from support.sandboxes import NODE as NODE_RUNTIME
from support.sandboxes import Bench, open_bench

PYTHON = """
import getpass, grp, os, pathlib, pwd, shutil, socket, subprocess, threading
def listened_to(name):
    with socket.create_server((name, 0)) as server, socket.create_connection((name, server.getsockname()[1]), 5):
        return True
def handler(event, context):
    entry = pwd.getpwuid(os.getuid())
    home = pathlib.Path.home()
    (home / ".config").mkdir()
    shell = "id -un; id -gn; cd ~ && pwd; cd ~nanogrid && pwd; getent hosts localhost | cut -d ' ' -f 1"
    return {
        "user": [entry.pw_name, getpass.getuser(), os.environ["USER"], grp.getgrgid(os.getgid()).gr_name],
        "home": [entry.pw_dir, str(home), os.path.expanduser("~nanogrid"), os.environ["HOME"]],
        "others": [pwd.getpwnam("root").pw_uid, pwd.getpwnam("nobody").pw_uid],
        "localhost": [socket.gethostbyname("localhost"), listened_to("localhost")],
        "addresses": sorted({info[4][0] for info in socket.getaddrinfo("localhost", 80)}),
        "hostname": [socket.gethostname(), socket.gethostbyname(event), listened_to(event)],
        "shell": subprocess.check_output(["sh", "-c", shell], text=True).split(),
    }
"""
NODE = """
const dns = require('dns'), fs = require('fs'), http = require('http'), os = require('os');
const { execFileSync } = require('child_process');
const listenedTo = (name) => new Promise((resolve, reject) => {
  const server = http.createServer((_, answer) => answer.end('yes')).listen(0, name, () =>
    http.get(`http://${name}:${server.address().port}/`, (answer) => {
      answer.resume();
      server.close();
      resolve(answer.statusCode === 200);
    }).on('error', reject));
});
exports.handler = async (name) => {
  const user = os.userInfo();
  fs.mkdirSync(`${os.homedir()}/.config`);
  const addresses = await dns.promises.lookup('localhost', { all: true });
  const shell = "id -un; id -gn; cd ~ && pwd; cd ~nanogrid && pwd; getent hosts localhost | cut -d ' ' -f 1";
  return {
    user: [user.username, user.shell, process.env.USER],
    home: [user.homedir, os.homedir(), process.env.HOME],
    localhost: [(await dns.promises.lookup('localhost')).address, await listenedTo('localhost')],
    addresses: addresses.map(({ address }) => address),
    hostname: [os.hostname(), (await dns.promises.lookup(name)).address, await listenedTo(name)],
    shell: execFileSync('sh', ['-c', shell]).toString().split('\\n').filter(Boolean),
  };
};
"""
CPP_PROGRAM = r"""
#include <arpa/inet.h>
#include <cstdio>
#include <netdb.h>
#include <pwd.h>
#include <unistd.h>
static void address(const char *name) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(name, "80", &hints, &found)) return;
    char text[64];
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    printf("\"%s\",", text);
}
int main() {
    char host[64];
    gethostname(host, sizeof host);
    passwd *entry = getpwuid(getuid());
    printf("[");
    address("localhost");
    address(host);
    printf("\"%s\",\"%s\",\"%s\"]\n", host, entry ? entry->pw_name : "", entry ? entry->pw_dir : "");
}
"""
GO_PROGRAM = """
package main
import ("encoding/json"; "net"; "os"; "os/user")
func main() {
    host, _ := os.Hostname()
    local, _ := net.LookupHost("localhost")
    own, _ := net.LookupHost(host)
    me, err := user.Current()
    if err != nil { me = &user.User{} }
    json.NewEncoder(os.Stdout).Encode([]string{local[0], own[0], host, me.Username, me.HomeDir})
}
"""


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_python_functions_user_and_host_have_names(docker_bench: Bench, *, fresh: bool) -> None:
    loaded = await docker_bench.load(PYTHON, fresh=fresh)

    seen = (await loaded.call("nanogrid")).value

    assert seen == {
        "user": ["nanogrid"] * 4,
        "home": ["/tmp"] * 4,
        "others": [0, 65534],
        "localhost": ["127.0.0.1", True],
        "addresses": ["127.0.0.1"],
        "hostname": ["nanogrid", "127.0.0.1", True],
        "shell": ["nanogrid", "nanogrid", "/tmp", "/tmp", "127.0.0.1"],
    }


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_node_functions_user_and_host_have_names(tmp_path: Path, *, fresh: bool) -> None:
    async with open_bench("docker:", tmp_path, NODE_RUNTIME) as bench:
        loaded = await bench.load(NODE, fresh=fresh)

        seen = (await loaded.call("nanogrid")).value

    assert seen == {
        "user": ["nanogrid", "/bin/sh", "nanogrid"],
        "home": ["/tmp"] * 3,
        "localhost": ["127.0.0.1", True],
        "addresses": ["127.0.0.1"],
        "hostname": ["nanogrid", "127.0.0.1", True],
        "shell": ["nanogrid", "nanogrid", "/tmp", "/tmp", "127.0.0.1"],
    }


@pytest.mark.parametrize(
    ("runtime", "files"),
    [(CPP, {"main.cpp": CPP_PROGRAM}), (GO, {"main.go": GO_PROGRAM})],
    ids=["cpp", "go"],
)
async def test_a_compiled_programs_user_and_host_have_names(
    docker_bench: Bench, tmp_path: Path, runtime: Runtime, files: dict[str, str]
) -> None:
    require(runtime)
    loaded = await Builder(docker_bench, tmp_path, Kept()).load(runtime, files)

    called = await loaded.call()

    assert json.loads(called.printed.out) == ["127.0.0.1", "127.0.0.1", "nanogrid", "nanogrid", "/tmp"]


async def test_two_sandboxes_have_an_account_each(docker_bench: Bench) -> None:
    code = "import os, pwd\ndef handler(event, context): return [os.getuid(), pwd.getpwnam('nanogrid').pw_uid]\n"

    one, other = [(await (await docker_bench.load(code)).call()).value for _ in range(2)]

    assert one[0] == one[1] != other[0] == other[1]


async def test_the_files_of_etc_are_not_the_functions_to_change(python_bench: Bench) -> None:
    loaded = await python_bench.load(python_bench.sources.WRITES)

    said = (await loaded.call(["/etc/passwd", "/etc/group", "/etc/hosts"])).value

    assert all(error in {"Permission denied", "Read-only file system"} for error in said.values()), said


async def test_a_process_sandbox_has_an_account_beside_the_machines(tmp_path: Path) -> None:
    code = """
import getpass, os, pathlib, pwd
def handler(event, context):
    pathlib.Path.home().joinpath(".config").mkdir()
    return [pwd.getpwuid(os.getuid()).pw_uid == os.getuid(), pwd.getpwnam("root").pw_uid, bool(getpass.getuser())]
"""
    async with open_bench("process:", tmp_path) as bench:
        assert (await (await bench.load(code)).call()).value == [True, 0, True]


def test_an_account_that_is_there_is_kept() -> None:
    users, groups = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n", "root:x:0:\nus:x:1000:me\n"

    assert accounts(1000, users, groups) == {"passwd": users, "group": groups}
    assert accounts(1001, users, groups)["passwd"] == users + "nanogrid:x:1001:1001:nanogrid:/tmp:/bin/sh\n"
    assert accounts(1001, users, groups)["group"] == groups + "nanogrid:x:1001:\n"


def test_a_machines_files_of_any_encoding_are_read(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_bytes(b"r\xe9mi:x:1000:1000::/home/r\xe9mi:/bin/sh\n")
    (tmp_path / "group").write_bytes(b"")

    assert machine_files(7, tmp_path)["passwd"].startswith("r\udce9mi:x:1000:")
    assert machine_files(7, tmp_path)["group"].strip() == "nanogrid:x:7:"


def test_a_container_has_no_name_for_an_address_it_has_not() -> None:
    assert "::1" not in container_files(1)["hosts"]
