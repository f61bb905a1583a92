#define _GNU_SOURCE
#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RELAY_PATH "/run/nanogrid/ai.sock"
#define PORT 11434 /* Ollama's */

enum { BUFFER_BYTES = 64 * 1024 };
enum end { FUNCTION, RELAY };

/* One direction. It reads only when everything read before is written: a slow reader slows the writer down. */
struct flow {
    size_t start, stop; /* what is still to be written */
    enum { FLOWING, ENDING, ENDED } state;
    char data[BUFFER_BYTES];
};

/* Mapped while it lasts, so that a sandbox that never asks the AI node has no memory for it. */
struct connection {
    int fd[2];           /* by enum end */
    struct flow flow[2]; /* by the end it comes from */
};

static int listener = -1;
static struct connection *connections[FORWARD_CONNECTIONS];
static int used; /* slots below this may be taken */

static int would_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int forward_open(void) {
    if (access(RELAY_PATH, F_OK) < 0) return 0;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) return -1;
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) return -1;
    return listen(listener, FORWARD_CONNECTIONS);
}

static int dial_relay(void) {
    struct sockaddr_un there = {.sun_family = AF_UNIX, .sun_path = RELAY_PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&there, sizeof there) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int free_slot(void) {
    int slot = 0;
    while (slot < FORWARD_CONNECTIONS && connections[slot]) slot++;
    return slot;
}

static void take(void) {
    int slot = free_slot(), function = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (function < 0) return;
    int relay = dial_relay(), on = 1;
    struct connection *one = MAP_FAILED;
    if (relay >= 0)
        one = mmap(NULL, sizeof *one, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (one == MAP_FAILED) { /* the function sees its connection end */
        close(function);
        if (relay >= 0) close(relay);
        return;
    }
    setsockopt(function, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* an answer comes word by word */
    one->fd[FUNCTION] = function;
    one->fd[RELAY] = relay;
    connections[slot] = one;
    if (slot >= used) used = slot + 1;
}

static void drop(int slot) {
    struct connection *one = connections[slot];
    close(one->fd[FUNCTION]);
    close(one->fd[RELAY]);
    munmap(one, sizeof *one);
    connections[slot] = NULL;
    while (used > 0 && !connections[used - 1]) used--;
}

static int is_empty(const struct flow *flow) { return flow->start == flow->stop; }

/* Moves what can be moved without waiting. -1 when one end is broken in a way that leaves the other no use. */
static int move(struct connection *one, enum end from) {
    struct flow *flow = &one->flow[from];
    if (flow->state == FLOWING && is_empty(flow)) {
        ssize_t got = recv(one->fd[from], flow->data, sizeof flow->data, 0);
        if (got < 0 && !would_wait()) return -1;
        if (got == 0) flow->state = ENDING;
        if (got > 0) flow->start = 0, flow->stop = (size_t)got;
    }
    if (!is_empty(flow)) {
        ssize_t sent = send(one->fd[!from], flow->data + flow->start, flow->stop - flow->start, MSG_NOSIGNAL);
        if (sent >= 0) flow->start += (size_t)sent;
        if (sent < 0 && !would_wait()) {
            if (from == RELAY) return -1; /* nobody wants the answer */
            flow->start = flow->stop, flow->state = ENDED; /* it answered without hearing us out: the answer counts */
        }
    }
    if (flow->state == ENDING && is_empty(flow)) {
        shutdown(one->fd[!from], SHUT_WR);
        flow->state = ENDED;
    }
    return 0;
}

static short wanted(const struct connection *one, enum end end) {
    const struct flow *from = &one->flow[end], *to = &one->flow[!end];
    short events = 0;
    if (from->state == FLOWING && is_empty(from)) events |= POLLIN;
    if (!is_empty(to)) events |= POLLOUT;
    return events;
}

int forward_watch(struct pollfd *watched) {
    if (listener < 0) return 0;
    watched[0] = (struct pollfd){.fd = free_slot() < FORWARD_CONNECTIONS ? listener : -1, .events = POLLIN};
    for (int slot = 0; slot < used; slot++)
        for (int end = FUNCTION; end <= RELAY; end++) {
            struct connection *one = connections[slot];
            short events = one ? wanted(one, (enum end)end) : 0;
            /* Without events poll would still report a hang-up, again and again. */
            watched[1 + 2 * slot + end] = (struct pollfd){.fd = events ? one->fd[end] : -1, .events = events};
        }
    return 1 + 2 * used;
}

void forward_serve(const struct pollfd *watched, int count) {
    for (int slot = 0; 1 + 2 * slot < count; slot++) {
        struct connection *one = connections[slot];
        if (!one || !(watched[1 + 2 * slot].revents | watched[2 + 2 * slot].revents)) continue;
        int broken = move(one, FUNCTION) < 0 || move(one, RELAY) < 0;
        if (broken || (one->flow[FUNCTION].state == ENDED && one->flow[RELAY].state == ENDED)) drop(slot);
    }
    if (count > 0 && watched[0].revents) take();
}
