"""Compiled functions for tests: one program per language that does what its event says, and what builds it."""

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nanogrid.bundle import BundleLimits
from nanogrid.errors import NotFoundError
from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.builds import Builds
from services.executor.code import CodeCache
from services.executor.compiler import BuildLimits
from services.executor.sandbox import Sandbox, Specialisation
from support.sandboxes import Bench, Loaded, Printed

CPP, GO = RUNTIMES["cpp"], RUNTIMES["go"]

_CPP_ACTOR = r"""
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <cstring>
#include <unistd.h>
#include <vector>
#include <nlohmann/json.hpp>

using nlohmann::json;

static std::string variable(const char *name) { auto found = getenv(name); return found ? found : "(unset)"; }

static std::string content(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

static int descriptors() {
    int count = 0;
    for (int fd = 3; fd < 100; fd++) count += access(("/proc/self/fd/" + std::to_string(fd)).c_str(), F_OK) == 0;
    return count;
}

static int processes() {
    int count = 0;
    for (auto &entry : std::filesystem::directory_iterator("/proc"))
        count += isdigit(entry.path().filename().string()[0]) ? 1 : 0;
    return count;
}

static json fill(const std::string &path) {
    std::vector<char> block(1 << 20);
    FILE *file = fopen(path.c_str(), "w");
    setvbuf(file, nullptr, _IONBF, 0);
    long written = 0;
    while (fwrite(block.data(), 1, block.size(), file) == block.size()) written++;
    return json::array({written, strerror(errno)});
}

int main() {
    auto text = std::string(std::istreambuf_iterator<char>(std::cin), {});
    auto event = json::parse(text);
    auto act = event.value("do", "");
    if (act == "exit") return event["code"];
    if (act == "signal") raise(event["number"]);
    if (act == "hang") {
        if (fork() == 0) { setsid(); signal(SIGTERM, SIG_IGN); for (;;) pause(); }
        std::cout << "begun" << std::endl;
        for (;;) pause();
    }
    if (act == "leave") {
        if (fork() == 0) { setsid(); for (;;) pause(); }
        std::cout << processes() << std::endl;
        return 0;
    }
    if (act == "hog") {
        std::vector<char> hoard(event["mb"].get<size_t>() << 20, 1);
        std::cout << hoard.size() << std::endl;
        return 0;
    }
    if (act == "print") {
        for (int i = 0; i < event["lines"]; i++) printf("%062d\n", i);
        return 0;
    }
    if (act == "fill") { std::cout << fill(event["path"]) << std::endl; return 0; }
    if (act == "output") { std::ofstream(event["path"]) << "안녕"; return 0; }
    std::cerr << "to err\n";
    std::cout << "working\n" << json({
        {"event", event}, {"job", variable("JOB_ID")}, {"payload_bytes", variable("PAYLOAD").size()},
        {"colour", variable("COLOUR")}, {"handler", variable("HANDLER")}, {"stdin_bytes", text.size()},
        {"file_bytes", content(variable("PAYLOAD_FILE")).size()}, {"data", content("data.txt")},
        {"descriptors", descriptors()}, {"home", variable("HOME")}, {"pids", processes()},
    }) << std::endl;
}
"""

_GO_ACTOR = r"""package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

type Event struct {
	Do     string `json:"do"`
	Code   int    `json:"code"`
	Number int    `json:"number"`
	MB     int    `json:"mb"`
	Lines  int    `json:"lines"`
	Path   string `json:"path"`
}

func variable(name string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return "(unset)"
}

func size(path string) int { content, _ := os.ReadFile(path); return len(content) }

// A number 3 or above that is not the runtime's own (epoll, its pipe) would be one that was left open for us.
func sockets() int {
	count := 0
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		to, _ := os.Readlink(link)
		if len(to) > 6 && to[:6] == "socket" {
			count++
		}
	}
	return count
}

func processes() int {
	count := 0
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			count++
		}
	}
	return count
}

func fill(path string) []any {
	file, _ := os.Create(path)
	block := make([]byte, 1<<20)
	for written := 0; ; written++ {
		if _, err := file.Write(block); err != nil {
			return []any{written, err.(*os.PathError).Err.Error()}
		}
	}
}

func sleeper() {
	child := exec.Command("sleep", "3600")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	child.Start()
}

func show(value any) { out, _ := json.Marshal(value); fmt.Println(string(out)) }

func main() {
	text, _ := io.ReadAll(os.Stdin)
	var event Event
	json.Unmarshal(text, &event)
	switch event.Do {
	case "exit":
		os.Exit(event.Code)
	case "signal":
		signal.Reset()
		syscall.Kill(os.Getpid(), syscall.Signal(event.Number))
		time.Sleep(time.Hour)
	case "hang":
		sleeper()
		fmt.Println("begun")
		time.Sleep(time.Hour)
	case "leave":
		sleeper()
		show(processes())
	case "hog":
		hoard := make([]byte, event.MB<<20)
		for i := range hoard {
			hoard[i] = 1
		}
		show(len(hoard))
	case "print":
		for i := 0; i < event.Lines; i++ {
			fmt.Printf("%062d\n", i)
		}
	case "fill":
		show(fill(event.Path))
	case "output":
		os.WriteFile(event.Path, []byte("안녕"), 0o644)
	default:
		data, _ := os.ReadFile("data.txt")
		fmt.Fprintln(os.Stderr, "to err")
		fmt.Println("working")
		show(map[string]any{
			"event": json.RawMessage(text), "job": variable("JOB_ID"), "payload_bytes": len(variable("PAYLOAD")),
			"colour": variable("COLOUR"), "handler": variable("HANDLER"), "stdin_bytes": len(text),
			"file_bytes": size(variable("PAYLOAD_FILE")), "data": string(data),
			"descriptors": sockets(), "home": variable("HOME"), "pids": processes(),
		})
	}
}
"""

ACTORS: Mapping[str, Mapping[str, str]] = {
    "cpp": {"main.cpp": _CPP_ACTOR, "data.txt": "자료"},
    "go": {"main.go": _GO_ACTOR, "data.txt": "자료"},
}


class Kept:
    """Stands for artifacts: builds by key."""

    def __init__(self) -> None:
        self.builds: dict[str, bytes] = {}
        self.times = 0

    async def fetch(self, key: str) -> AsyncIterator[str | bytes]:
        if key not in self.builds:
            raise NotFoundError("nobody has built it")
        yield self.builds[key]

    async def keep(self, key: str, content: AsyncIterator[bytes]) -> None:
        self.times += 1
        self.builds[key] = b"".join([chunk async for chunk in content])


_ACTORS_BUILT = Kept()  # building an actor takes seconds; one build serves every test of a run


class Builder:
    """What one executor builds with, and the sandboxes its programs run in."""

    def __init__(self, bench: Bench, folder: Path, kept: Kept, **limits: Any) -> None:
        self.bench = bench
        self.kept = kept
        self._folder = folder
        self.limits = BuildLimits(**limits)
        cache = CodeCache(folder / "builds", 1_000_000_000, kept.fetch, BundleLimits())
        self.builds = Builds(bench.provider, cache, kept.keep, self.limits, folder / "building")

    @asynccontextmanager
    async def built(self, runtime: Runtime, files: Mapping[str, str]) -> AsyncIterator[tuple[Path, Path]]:
        """The code's folder, named by what is in it, and its program."""
        code = self._write(files)
        async with self.builds.program_of(runtime, code) as program:
            assert program is not None
            yield code, program

    def _write(self, files: Mapping[str, str]) -> Path:
        code = self._folder / "sources" / hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        for name, text in files.items():
            path = code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return code

    async def load(self, runtime: Runtime, files: Mapping[str, str], memory_mb: int = 256) -> Loaded:
        """A sandbox that runs the program."""
        async with self.built(runtime, files) as (code, program):
            sandbox: Sandbox = await self.bench.provider.create(runtime)
            printed = Printed()
            handler = f"main{runtime.suffixes[0]}"
            what = Specialisation(
                "function-1", code, handler, memory_mb, env={"COLOUR": "파랑\n\"'\\", "JOB_ID": "no"}, program=program
            )
            return Loaded(sandbox, await sandbox.specialise(what, printed), printed)


def require(runtime: Runtime) -> None:
    """Skip on a laptop, and fail in CI, where the runtime's image is not there."""
    found = subprocess.run(["docker", "image", "inspect", runtime.image], capture_output=True, check=False)
    if found.returncode != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{runtime.image} is not here")


async def load_actor(bench: Bench, folder: Path, runtime: Runtime, memory_mb: int = 256) -> Loaded:
    """The actor of a language in a sandbox of its own."""
    builder = Builder(bench, folder, _ACTORS_BUILT)
    return await builder.load(runtime, ACTORS[runtime.language], memory_mb)
