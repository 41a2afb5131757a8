#define _GNU_SOURCE
#include "protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int protocol_wait, protocol_hold, protocol_exit;

// One text, printed by one call: a tracer reads it by lines.
static char text[4096];
static size_t used;

static void add(const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text + used, sizeof text - used, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof text - used) {
        fail("print", "the text is too long");
    }
    used += (size_t)length;
}

static void print(int fd) {
    struct iovec all = {.iov_base = text, .iov_len = used};
    if (writev(fd, &all, 1) < 0) {
        _exit(3);
    }
    used = 0;
}

// End of file means that the one who waited for us is gone.
static void await_line(void) {
    char line[64];
    struct iovec all = {.iov_base = line, .iov_len = sizeof line};
    if (readv(0, &all, 1) <= 0) {
        _exit(3);
    }
}

void ready(const pid_t *others, uint64_t count) {
    if (!protocol_wait) {
        return;
    }
    add("ready %d", getpid());
    for (uint64_t i = 0; i < count; i++) {
        add(" %d", others[i]);
    }
    add("\n");
    print(1);
    await_line();
}

static struct {
    const char *name;
    uint64_t count;
} counts[12];
static unsigned counted;

void did(const char *name, uint64_t count) {
    if (counted == sizeof counts / sizeof *counts) {
        fail(name, "too many counts");
    }
    counts[counted].name = name;
    counts[counted++].count = count;
}

static void (*leave)(int) = _exit;

void end_in(void (*other)(int)) {
    leave = other;
}

void fail(const char *what, const char *why) {
    used = 0;
    add("tracee: %s: %s\n", what, why);
    print(2);
    _exit(1);
}

void must(int works, const char *what) {
    if (!works) {
        fail(what, strerror(errno));
    }
}

void run_mode(const struct mode *mode, struct words words) {
    mode->work(words);
    add("done\n{");
    for (unsigned i = 0; i < counted; i++) {
        add("%s\"%s\":%llu", i == 0 ? "" : ",", counts[i].name, (unsigned long long)counts[i].count);
    }
    add("}\n");
    print(1);
    if (protocol_hold) {
        await_line();
    }
    leave(protocol_exit);
    _exit(1);
}

const char *word(struct words words, int at, const char *what) {
    if (at >= words.count) {
        fail(what, "this argument is missing; see --help");
    }
    return words.texts[at];
}

uint64_t number(struct words words, int at, const char *what) {
    const char *digits = word(words, at, what);
    char *end;
    errno = 0;
    uint64_t value = strtoull(digits, &end, 10);
    if (errno != 0 || end == digits || *end != 0) {
        fail(what, "is no number");
    }
    return value;
}

struct words from(struct words words, int at) {
    at = at < words.count ? at : words.count;
    return (struct words){.count = words.count - at, .texts = words.texts + at};
}

static const struct mode *named_in(const struct mode *modes, const char *name) {
    while (modes && modes->name && strcmp(modes->name, name) != 0) {
        modes++;
    }
    return modes && modes->name ? modes : NULL;
}

const struct mode *mode_named(const char *name, const struct mode *more) {
    const struct mode *lists[] = {modes_that_call, modes_that_end, more};
    const struct mode *found = NULL;
    for (unsigned i = 0; i < sizeof lists / sizeof *lists && !found; i++) {
        found = named_in(lists[i], name);
    }
    return found;
}

void list_modes(const struct mode *modes) {
    for (; modes->name; modes++) {
        add("  %s %s\n      %s\n", modes->name, modes->words, modes->what);
        print(1);
    }
}
