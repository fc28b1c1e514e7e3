/* One counted call: what it is about, whether it goes on, and what is written down of it. */
#include "seam.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

int of_descriptor(int fd, char *out) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return 1;
}

void absolute(int at, const char *path, char *out) {
    char above[PATH_MAX], rest[PATH_MAX];
    int fd, used = 0;
    out[0] = 0;
    if (!path) return;
    if (sscanf(path, "/proc/self/fd/%d%n", &fd, &used) == 1 && (!path[used] || path[used] == '/')) {
        snprintf(rest, sizeof rest, "%s", path + used);
        if (of_descriptor(fd, above)) snprintf(out, PATH_MAX, "%.*s%.*s", 3000, above, 1000, rest);
    } else if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else if (at == AT_FDCWD ? getcwd(above, sizeof above) != NULL : of_descriptor(at, above)) {
        snprintf(out, PATH_MAX, "%.*s/%.*s", 3000, above, 1000, path);
    }
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/') out[--length] = 0;
}

int beneath(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int is_among(const char *kind, const char *kinds) {
    size_t length = strlen(kind);
    for (const char *at = kinds; (at = strstr(at, kind)); at += length)
        if ((at == kinds || at[-1] == ',') && (!at[length] || at[length] == ',')) return 1;
    return 0;
}

static int fails(struct call *call) {
    if (control->mode == FAIL_ONCE) return call->number == control->at;
    if (control->mode != FAIL_ON || call->number < control->at) return 0;
    return !control->kinds[0] || is_among(call->kind, control->kinds);
}

int enter(struct call *call, const char *kind) {
    int saved = errno;
    call->kind = kind;
    call->counted = beneath(call->path) || beneath(call->other);
    if (!call->counted) return 1;
    if (pthread_mutex_lock(&control->lock) == EOWNERDEAD) pthread_mutex_consistent(&control->lock);
    if (control->exempt) {
        call->number = control->count;
        errno = saved;
        return 1;
    }
    call->number = ++control->count;
    if (control->mode == KILL && call->number == control->at) {
        control->hits++;
        snprintf(control->hit_kind, sizeof control->hit_kind, "%s", kind);
        snprintf(control->hit_path, sizeof control->hit_path, "%.1000s", call->path);
        if (kill(0, SIGKILL)) {
            __atomic_store_n(&control->killing, 1, __ATOMIC_RELEASE);
            CALL(syscall, SYS_futex, &control->killing, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        }
        for (;;) pause();
    }
    if (fails(call)) {
        if (!control->hits++) {
            snprintf(control->hit_kind, sizeof control->hit_kind, "%s", kind);
            snprintf(control->hit_path, sizeof control->hit_path, "%.1000s", call->path);
        }
        int error = control->error;
        pthread_mutex_unlock(&control->lock);
        errno = error;
        return 0;
    }
    errno = saved;
    return 1;
}

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t done = CALL(write, log_fd, at, length);
        if (done < 0) abort();
        at += done, length -= done;
    }
}

void leave(struct call *call, int done, long a, long b, const void *data, size_t length) {
    if (!call->counted) return;
    int saved = errno;
    if (log_fd >= 0) {
        char line[2 * PATH_MAX + 256];
        int size = snprintf(line, sizeof line, "%llu\t%s\t%d\t%ld\t%ld\t%zu\t%s\t%s\n",
                            (unsigned long long)call->number, call->kind, done, a, b, length,
                            call->path, call->other);
        put(line, size);
        if (length) put(data, length);
    }
    pthread_mutex_unlock(&control->lock);
    errno = saved;
}
