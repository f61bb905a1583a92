"""Sources of the compiled test programs, one per language, that act as their event says."""

from collections.abc import Mapping

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
