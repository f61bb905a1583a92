/*
 * PID 1 of every sandbox: wires up the streams, runs the resident runtime, reaps orphans, forwards to the AI node
 * (forward.h), tells how the runtime ended.
 *
 *   nanogrid-init PROGRAM [ARGUMENT...]
 *
 * In /run/nanogrid the executor has put the FIFOs stdout, stderr and status. When PROGRAM ends, everything else in the
 * sandbox is killed, its exit status (128 + signal when killed) and the signal (0 when it exited) are written to
 * `status`, a line of decimal digits each, and this process waits to be killed: ending now would take the control group
 * and its counters (was it out of memory?) away before the executor has read them. Without an executor at the other end
 * it ends at once, as it does when a signal from outside the sandbox stops it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forward.h"

#define FOLDER "/run/nanogrid/"

static void die(const char *what) {
    dprintf(2, "nanogrid-init: %s: %s\n", what, strerror(errno));
    _exit(125); /* what docker itself answers when a container cannot be started */
}

static void open_as(int fd, const char *path, int flags) {
    int opened = open(path, flags | O_CLOEXEC);
    if (opened < 0) die(path);
    if (opened == fd) {
        if (fcntl(fd, F_SETFD, 0) < 0) die(path);
        return;
    }
    if (dup2(opened, fd) < 0) die(path);
    close(opened);
}

/* The kernel should pick the function before its PID 1 when memory runs out: raising one's own score needs no right. */
static void volunteer_for_the_oom_killer(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, "1000", 4) < 0) { /* only a preference */ }
    close(fd);
}

static pid_t start(char **command, const sigset_t *unblocked) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child > 0) return child;
    setsid();
    volunteer_for_the_oom_killer();
    sigprocmask(SIG_SETMASK, unblocked, NULL);
    execvp(command[0], command);
    die(command[0]);
    return -1;
}

/* Reaps whatever has ended. Returns whether the runtime was among it, its wait status in *status. */
static int reap(pid_t runtime, int *status) {
    int found = 0, one;
    pid_t pid;
    while ((pid = waitpid(-1, &one, WNOHANG)) > 0)
        if (pid == runtime) {
            found = 1;
            *status = one;
        }
    return found;
}

/* The wait status of the runtime, once it has ended. */
static int run(pid_t runtime, int signals) {
    struct pollfd watched[1 + FORWARD_POLLED] = {{.fd = signals, .events = POLLIN}};
    for (;;) {
        int forwarded = forward_watch(watched + 1);
        if (poll(watched, 1 + (nfds_t)forwarded, -1) < 0) {
            if (errno != EINTR) die("poll");
            continue;
        }
        forward_serve(watched + 1, forwarded);
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo != SIGCHLD) {
            /* From outside: the container is being stopped. Nothing is told, for the function is not to blame. */
            if (info.ssi_pid == 0) _exit(128 + (int)info.ssi_signo);
            kill(runtime, (int)info.ssi_signo);
            continue;
        }
        int status;
        if (reap(runtime, &status)) return status;
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        dprintf(2, "usage: nanogrid-init PROGRAM [ARGUMENT...]\n");
        return 64;
    }
    open_as(0, "/dev/null", O_RDONLY);
    open_as(1, FOLDER "stdout", O_WRONLY);
    open_as(2, FOLDER "stderr", O_WRONLY);
    int report = open(FOLDER "status", O_WRONLY | O_CLOEXEC);
    if (report < 0) die(FOLDER "status");

    sigset_t watched, unblocked;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigprocmask(SIG_BLOCK, &watched, &unblocked);
    int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) die("signalfd");
    if (forward_open() < 0) die("127.0.0.1:11434");

    int status = run(start(argv + 1, &unblocked), signals);
    int killer = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int code = killer ? 128 + killer : WEXITSTATUS(status);

    if (getpid() == 1) kill(-1, SIGKILL); /* by hand on a developer's machine, -1 would be everything */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    signal(SIGPIPE, SIG_IGN);
    if (dprintf(report, "%d\n%d\n", code, killer) < 0) return code; /* the executor is gone */
    close(0), close(1), close(2);
    struct pollfd ends[] = {{.fd = report, .events = 0}, {.fd = signals, .events = POLLIN}};
    while (!(ends[0].revents & (POLLERR | POLLHUP))) { /* until the last reader of `status` goes away */
        poll(ends, 2, -1);
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD) break;
    }
    return code;
}
