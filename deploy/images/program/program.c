/*
 * The resident runtime of compiled functions: takes calls from the executor and runs the program once for each.
 *
 *   nanogrid-program FOLDER      FOLDER is /opt/nanogrid/{language}
 *
 * Speaks docs/runtime-contract.md. What is called is `program`, which the executor put beside the control socket; where
 * there is none the sandbox is there to build it, and a call runs FOLDER/build. Every call is a process of its own, so
 * nothing here grows from call to call. Only the executor speaks on the socket: what is not JSON as it writes it ends us.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"

#define HEADER_BYTES (256 * 1024)        /* the contract's most */
#define PAYLOAD_BYTES (96 * 1024)        /* of the variable; no larger one can be passed to a child */
#define VARIABLES 32768                  /* more than 64 KiB of names and values can hold */
#define MESSAGE_BYTES 512

/* --- the environment of the program ------------------------------------------------------------------------------ */

static char *variables[VARIABLES + 1];

static void set(const char *name, const char *value, size_t length) {
    size_t name_length = strlen(name);
    char *variable = room(name_length + length + 2);
    memcpy(variable, name, name_length);
    variable[name_length] = '=';
    memcpy(variable + name_length + 1, value, length);
    variable[name_length + 1 + length] = '\0';
    int i = 0;
    while (variables[i] && strncmp(variables[i], variable, name_length + 1) != 0) i++;
    if (i == VARIABLES) die("too many variables");
    free(variables[i]);
    variables[i] = variable;
}

static void set_own(char **environment) {
    for (; *environment; environment++) {
        char *sign = strchr(*environment, '=');
        if (!sign) continue;
        *sign = '\0';
        set(*environment, sign + 1, strlen(sign + 1));
        *sign = '=';
    }
}

static const char *value_of(const char *name) {
    size_t length = strlen(name);
    for (int i = 0; variables[i]; i++)
        if (strncmp(variables[i], name, length) == 0 && variables[i][length] == '=') return variables[i] + length + 1;
    return "/dev/null";
}

/* --- frames ------------------------------------------------------------------------------------------------------ */

static int control = -1;

/* Exactly so many bytes. The executor hanging up is how we are told to stop. */
static void receive(void *buffer, size_t size) {
    for (char *at = buffer; size > 0;) {
        ssize_t got = recv(control, at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) _exit(0);
        at += got;
        size -= (size_t)got;
    }
}

static size_t receive_length(size_t most) {
    uint32_t length;
    receive(&length, sizeof length);
    if (ntohl(length) > most) malformed();
    return ntohl(length);
}

static void drop(size_t size) {
    static char nowhere[64 * 1024];
    for (; size > sizeof nowhere; size -= sizeof nowhere) receive(nowhere, sizeof nowhere);
    receive(nowhere, size);
}

/* A frame of a JSON header, with its length before it where a body could follow. */
static void send_frame(char kind, const char *header, int could_have_body) {
    char frame[5 + 4 + 2 * MESSAGE_BYTES];
    size_t length = strlen(header), at = 5;
    uint32_t number = htonl((uint32_t)length);
    if (could_have_body) {
        memcpy(frame + at, &number, 4);
        at += 4;
    }
    memcpy(frame + at, header, length);
    at += length;
    number = htonl((uint32_t)(at - 4));
    memcpy(frame, &number, 4);
    frame[4] = kind;
    for (size_t sent = 0; sent < at;) {
        ssize_t did = send(control, frame + sent, at - sent, MSG_NOSIGNAL);
        if (did < 0 && errno == EINTR) continue;
        if (did < 0) _exit(0);
        sent += (size_t)did;
    }
}

/* --- one call ---------------------------------------------------------------------------------------------------- */

static const char *program; /* what a call runs */
static int own_pids;        /* whether every process we can see is the sandbox's */

static void become_program(int failure) {
    char *arguments[] = {(char *)program, NULL};
    setsid();
    int payload = open(value_of("PAYLOAD_FILE"), O_RDONLY);
    if (payload >= 0 && dup2(payload, 0) == 0) {
        if (payload != 0) close(payload);
        execve(program, arguments, variables);
    }
    int why = errno;
    if (write(failure, &why, sizeof why) < 0) { /* then it is an exit with 127 */ }
    _exit(127);
}

/* Runs the program; 0 and its wait status when it has ended, -1 with errno when it could not be started. */
static int run(int *status) {
    int failure[2], why = 0;
    if (pipe2(failure, O_CLOEXEC) < 0) return -1;
    pid_t child = fork();
    if (child == 0) become_program(failure[1]);
    close(failure[1]);
    if (child < 0 || read(failure[0], &why, sizeof why) != sizeof why) why = child < 0 ? errno : 0;
    close(failure[0]);
    if (child > 0) {
        while (waitpid(child, status, 0) < 0 && errno == EINTR) {}
        kill(-child, SIGKILL); /* nothing a call starts outlives it */
        if (own_pids) kill(-1, SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
    }
    errno = why;
    return why ? -1 : 0;
}

static void answer_call(void) {
    char answer[MESSAGE_BYTES];
    int status = 0;
    if (run(&status) < 0) {
        snprintf(answer, sizeof answer,
                 "{\"error\":{\"type\":\"InitError\",\"message\":\"the program cannot be started: %s\",\"stack\":\"\"}}",
                 strerror(errno));
    } else {
        int killer = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        int code = killer ? 128 + killer : WEXITSTATUS(status);
        snprintf(answer, sizeof answer, "{\"exit_code\":%d,\"signal\":%d}", code, killer);
    }
    send_frame('D', answer, 1);
}

static void take_call(size_t length) {
    size_t header_length = receive_length(HEADER_BYTES);
    if (length < 4 + header_length) malformed();
    char *header = room(header_length + 1);
    receive(header, header_length);
    struct text json = {header, header + header_length};
    open_object(&json);
    char *name;
    for (int first = 1; (name = member(&json, first)); first = 0, free(name)) {
        if (strcmp(name, "job_id") != 0) {
            skip(&json);
            continue;
        }
        char *job_id = string(&json);
        set("JOB_ID", job_id, strlen(job_id));
        free(job_id);
    }
    free(header);

    static char payload[PAYLOAD_BYTES];
    size_t size = length - 4 - header_length;
    if (size > sizeof payload) {
        drop(size);
        size = 0; /* the file has it */
    }
    receive(payload, size);
    set("PAYLOAD", payload, memchr(payload, '\0', size) ? 0 : size);
    answer_call();
}

/* --- becoming one function's -------------------------------------------------------------------------------------- */

static void take_variables(struct text *json) {
    char *name;
    open_object(json);
    for (int first = 1; (name = member(json, first)); first = 0, free(name)) {
        char *value = string(json);
        set(name, value, strlen(value));
        free(value);
    }
}

static void take_function(char *body, size_t length) {
    struct text json = {body, body + length};
    char *name;
    open_object(&json);
    for (int first = 1; (name = member(&json, first)); first = 0, free(name)) {
        if (strcmp(name, "env") == 0) {
            take_variables(&json);
        } else if (strcmp(name, "code") == 0) {
            char *code = string(&json);
            if (chdir(code) < 0) die(code);
            free(code);
        } else if (strcmp(name, "own_pids") == 0) {
            own_pids = next_token(&json) == 't';
            skip(&json);
        } else {
            skip(&json);
        }
    }
}

static void serve(const char *built, const char *builder) {
    char kind;
    size_t length = receive_length(HEADER_BYTES + 1);
    if (length < 1) malformed();
    receive(&kind, 1);
    if (kind != 'S') malformed();
    char *body = room(length);
    receive(body, length - 1);
    take_function(body, length - 1);
    free(body);
    program = access(built, F_OK) == 0 ? built : builder;
    send_frame('R', "{\"kind\":\"program\"}", 0);
    for (;;) {
        length = receive_length(UINT32_MAX);
        if (length < 5) malformed();
        receive(&kind, 1);
        if (kind != 'C') malformed();
        take_call(length - 1);
    }
}

/* The socket's folder becomes the working directory for a moment: the name of a socket may have 107 bytes only. */
static void dial(const char *folder) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "control.sock"};
    control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (control < 0 || chdir(folder) < 0) die(folder);
    if (connect(control, (struct sockaddr *)&address, sizeof address) < 0) die("control.sock");
}

int main(int argc, char **argv, char **environment) {
    if (argc != 2 || strlen(argv[1]) > MESSAGE_BYTES / 4) {
        dprintf(2, "usage: nanogrid-program FOLDER\n");
        return 64;
    }
    const char *folder = getenv("NANOGRID_IO");
    char hello[MESSAGE_BYTES], language[MESSAGE_BYTES];
    char *built, *builder;
    if (!folder) folder = "/run/nanogrid";
    if (asprintf(&built, "%s/program", folder) < 0 || asprintf(&builder, "%s/build", argv[1]) < 0) die("malloc");
    set_own(environment);
    dial(folder);
    strcpy(language, argv[1]); /* basename may change its argument */
    snprintf(hello, sizeof hello, "{\"runtime\":\"%.64s\",\"version\":\"1\",\"pid\":%d}", basename(language), getpid());
    send_frame('H', hello, 0);
    serve(built, builder);
}
