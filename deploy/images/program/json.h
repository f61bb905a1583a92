/* Reads the JSON that the executor writes: one object, from left to right. What is anything else ends the process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void die(const char *what) {
    dprintf(2, "nanogrid-program: %s: %s\n", what, errno ? strerror(errno) : "not as the contract says");
    _exit(125);
}

static void *room(size_t size) {
    void *found = malloc(size);
    if (!found) die("malloc");
    return found;
}

struct text {
    const char *at, *end;
};

static _Noreturn void malformed(void) {
    errno = 0;
    die("a frame");
}

static char next(struct text *json) {
    if (json->at == json->end) malformed();
    return *json->at++;
}

static char next_token(struct text *json) {
    char found;
    do found = next(json);
    while (found == ' ' || found == '\t' || found == '\n' || found == '\r');
    return found;
}

static unsigned four_digits(struct text *json) {
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = next(json);
        if (digit >= '0' && digit <= '9') value = value * 16 + (unsigned)(digit - '0');
        else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') value = value * 16 + (unsigned)((digit | 32) - 'a' + 10);
        else malformed();
    }
    return value;
}

static char *put_utf8(char *out, unsigned point) {
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 63));
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 63));
        *out++ = (char)(0x80 | (point & 63));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 63));
        *out++ = (char)(0x80 | (point >> 6 & 63));
        *out++ = (char)(0x80 | (point & 63));
    }
    return out;
}

static char *put_escaped(struct text *json, char *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char name = next(json);
    const char *known = name ? strchr(names, name) : NULL;
    if (known) {
        *out++ = values[known - names];
        return out;
    }
    if (name != 'u') malformed();
    unsigned point = four_digits(json);
    if (point >= 0xd800 && point < 0xdc00) {
        if (next(json) != '\\' || next(json) != 'u') malformed();
        unsigned low = four_digits(json);
        if (low < 0xdc00 || low > 0xdfff) malformed();
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point == 0 || (point >= 0xdc00 && point < 0xe000)) {
        malformed(); /* a NUL would cut a variable short */
    }
    return put_utf8(out, point);
}

/* A string whose opening quote was read. Never longer than it is written: an escape of 6 bytes stands for 3 at most. */
static char *string_after_quote(struct text *json) {
    char *found = room((size_t)(json->end - json->at) + 1), *out = found;
    for (;;) {
        char one = next(json);
        if (one == '"') break;
        if (one == '\\') out = put_escaped(json, out);
        else if (one == '\0') malformed();
        else *out++ = one;
    }
    *out++ = '\0';
    char *fitted = realloc(found, (size_t)(out - found));
    return fitted ? fitted : found;
}

static char *string(struct text *json) {
    if (next_token(json) != '"') malformed();
    return string_after_quote(json);
}

/* The name of the object's next member, or NULL after its last; `first` is for the one after the opening brace. */
static char *member(struct text *json, int first) {
    char token = next_token(json);
    if (token == '}') return NULL;
    if (!first) {
        if (token != ',') malformed();
        token = next_token(json);
    }
    if (token != '"') malformed();
    char *name = string_after_quote(json);
    if (next_token(json) != ':') malformed();
    return name;
}

static void open_object(struct text *json) {
    if (next_token(json) != '{') malformed();
}

/* Whatever value comes next: up to the comma or brace that ends it, which is left to be read. */
static void skip(struct text *json) {
    for (int depth = 0;;) {
        char token = next_token(json);
        if (token == '"') free(string_after_quote(json));
        else if (token == '{' || token == '[') depth++;
        else if (depth == 0 && (token == ',' || token == '}')) break;
        else if (token == '}' || token == ']') depth--;
    }
    json->at--;
}
