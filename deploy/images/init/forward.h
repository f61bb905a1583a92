/*
 * The way out of a sandbox that has no network: 127.0.0.1:11434 of its own loopback is forwarded to the unix socket
 * /run/nanogrid/ai.sock, behind which the executor reaches the AI node and nothing else.
 *
 * It lives in PID 1 because nothing in the sandbox can kill that. Nothing here waits: the caller polls.
 */
#ifndef NANOGRID_FORWARD_H
#define NANOGRID_FORWARD_H

#include <poll.h>

enum { FORWARD_CONNECTIONS = 64, FORWARD_POLLED = 1 + 2 * FORWARD_CONNECTIONS };

/* Listens, if there is somewhere to forward to; if not, whoever connects is refused. -1 with errno when it cannot. */
int forward_open(void);

/* Fills in what to poll for, at most FORWARD_POLLED entries, and returns how many. */
int forward_watch(struct pollfd *watched);

/* Takes, moves and ends whatever poll found ready among what forward_watch filled in. */
void forward_serve(const struct pollfd *watched, int count);

#endif
