/* A seam between a process group and its file system, loaded with LD_PRELOAD.
 *
 * It counts the calls that change anything beneath one directory, over all threads and processes
 * that share its control file, and at a given number kills the process group, makes the call fail,
 * or only writes down what was done. Calls elsewhere, and to pipes and sockets, pass untouched.
 *
 * One robust lock in the control file is held over each counted call, so that the numbers are an
 * order in which the calls took effect.
 *
 * Programs that these processes start get the seam too, whatever environment they are given. A
 * process may confine itself afterwards: the control file is mapped and the log is open by then, and
 * where it may not kill any more, the first process does it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FICLONE_NUMBER 0x40049409

enum mode { WATCH = 0, KILL = 1, FAIL_ONCE = 2, FAIL_ON = 3 };
enum reach { CHANGES = 1, OPENS = 2 }; /* what is counted: with OPENS, plain opens too */

/* The first fields are read by seam.py. */
struct control {
    uint64_t count;
    uint64_t at;
    int32_t mode;
    int32_t error;
    int32_t reach;
    int32_t hits;
    char kinds[256]; /* comma-separated kinds that FAIL_ON fails; empty for all */
    char hit_kind[32];
    char hit_path[1024];
    int32_t exempt; /* calls are written down, but not numbered */
    pthread_mutex_t lock;
    int32_t killing; /* a futex: the first process is to kill the group */
};

static struct control *control;
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;

#define REAL(name) ((__typeof__(&name))real_symbol(#name))

static void *real_symbol(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        dprintf(2, "seam: the C library has no %s\n", name);
        abort();
    }
    return found;
}

#define CALL(name, ...) ({ \
    static __typeof__(&name) real_; \
    if (!real_) real_ = REAL(name); \
    real_(__VA_ARGS__); })

/* Make a control file; called by whoever starts the processes. */
EXPORT int seam_create(const char *path) {
    int fd = CALL(open64, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || CALL(ftruncate64, fd, sizeof(struct control))) return -1;
    struct control *made =
        mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (made == MAP_FAILED) return -1;
    pthread_mutexattr_t how;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&made->lock, &how);
    munmap(made, sizeof *made);
    return 0;
}

/* Begin to count as SEAM_CONTROL, SEAM_ROOT and SEAM_LOG of the environment say. */
static __attribute__((constructor)) void begin(void) {
    const char *path = getenv("SEAM_CONTROL"), *top = getenv("SEAM_ROOT"), *log = getenv("SEAM_LOG");
    if (!path || !top) return;
    int fd = CALL(open64, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *mapped =
        mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) abort();
    root_length = strlen(top);
    memcpy(root, top, root_length + 1);
    if (log) log_fd = CALL(open64, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    control = mapped;
}

static void *kill_when_told(void *unused) {
    while (!__atomic_load_n(&control->killing, __ATOMIC_ACQUIRE))
        CALL(syscall, SYS_futex, &control->killing, FUTEX_WAIT, 0, NULL, NULL, 0);
    kill(0, SIGKILL);
    return unused;
}

/* Begin in the first process of a group. */
EXPORT void seam_begin(void) {
    begin();
    pthread_t thread;
    if (!control || pthread_create(&thread, NULL, kill_when_told, NULL)) abort();
}

/* Have what is started loaded with the seam. Called between vfork and exec: no heap. */
EXPORT int execve(const char *path, char *const argv[], char *const envp[]) {
    static const char *const names[] = {"LD_PRELOAD", "SEAM_CONTROL", "SEAM_ROOT", "SEAM_LOG"};
    enum { NAMES = sizeof names / sizeof *names };
    char texts[NAMES][PATH_MAX];
    size_t count = 0, added = 0;
    while (control && envp[count]) count++;
    char *all[count + NAMES + 1];
    if (!control) return CALL(execve, path, argv, envp);
    memcpy(all, envp, count * sizeof *all);
    for (size_t i = 0; i < NAMES; i++) {
        const char *value = getenv(names[i]);
        if (!value) continue;
        snprintf(texts[added], PATH_MAX, "%s=%s", names[i], value);
        all[count + added] = texts[added];
        added++;
    }
    all[count + added] = NULL;
    return CALL(execve, path, argv, all);
}

/* Paths */

static int of_descriptor(int fd, char *out) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return 1;
}

static void absolute(int at, const char *path, char *out) {
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

static int beneath(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* One counted call */

struct call {
    int counted;
    const char *kind;
    uint64_t number;
    char path[PATH_MAX], other[PATH_MAX];
};

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

/* Whether to go on with a call whose paths are filled in; otherwise errno is set. */
static int enter(struct call *call, const char *kind) {
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

/* End a call: `done` says that it went well, the rest is for the log. */
static void leave(struct call *call, int done, long a, long b, const void *data, size_t length) {
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

#define ON_PATH(at, path_) \
    struct call call; call.other[0] = 0; absolute((at), (path_), call.path)
#define ON_PATHS(at, path_, at2, path2_) \
    struct call call; absolute((at), (path_), call.path); absolute((at2), (path2_), call.other)
#define ON_DESCRIPTOR(fd) \
    struct call call; call.other[0] = 0; \
    if (!of_descriptor((fd), call.path)) call.path[0] = 0

#define SIMPLE(kind, a, b, data, length, name, ...) do { \
    if (!enter(&call, kind)) return -1; \
    __auto_type result = CALL(name, __VA_ARGS__); \
    leave(&call, result >= 0, (a), (b), (data), (length)); \
    return result; } while (0)

/* Opening */

static const char *kind_of_open(int flags) {
    if (flags & (O_CREAT | O_TRUNC)) return "create";
    return control->reach & OPENS && !(flags & O_PATH) ? "open" : NULL;
}

#define OPEN(at, path, flags, mode, name, ...) do { \
    const char *kind = control ? kind_of_open(flags) : NULL; \
    if (!kind) return CALL(name, __VA_ARGS__); \
    ON_PATH(at, path); \
    SIMPLE(kind, (flags), (mode), NULL, 0, name, __VA_ARGS__); } while (0)

#define MODE_OF(flags) ({ \
    mode_t mode_ = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; va_start(rest, flags); mode_ = va_arg(rest, mode_t); va_end(rest); } \
    mode_; })

EXPORT int open64(const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    OPEN(AT_FDCWD, path, flags, mode, open64, path, flags, mode);
}
EXPORT int open(const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    OPEN(AT_FDCWD, path, flags, mode, open64, path, flags, mode);
}
EXPORT int openat64(int at, const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    OPEN(at, path, flags, mode, openat64, at, path, flags, mode);
}
EXPORT int openat(int at, const char *path, int flags, ...) {
    mode_t mode = MODE_OF(flags);
    OPEN(at, path, flags, mode, openat64, at, path, flags, mode);
}
EXPORT DIR *opendir(const char *path) {
    if (!control || !(control->reach & OPENS)) return CALL(opendir, path);
    ON_PATH(AT_FDCWD, path);
    if (!enter(&call, "open")) return NULL;
    DIR *result = CALL(opendir, path);
    leave(&call, result != NULL, O_DIRECTORY, 0, NULL, 0);
    return result;
}

struct open_how_start { uint64_t flags, mode, resolve; };

EXPORT long syscall(long number, ...) {
    va_list rest;
    long a[6];
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    if (control && number == SYS_openat2) {
        const struct open_how_start *how = (const void *)a[2];
        const char *kind = kind_of_open((int)how->flags);
        if (kind) {
            ON_PATH((int)a[0], (const char *)a[1]);
            SIMPLE(kind, (long)how->flags, (long)how->mode, NULL, 0, syscall, number, a[0], a[1],
                   a[2], a[3], a[4], a[5]);
        }
    }
    return CALL(syscall, number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Content */

static long where(int fd) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (long)at;
}

EXPORT ssize_t write(int fd, const void *data, size_t count) {
    if (!control) return CALL(write, fd, data, count);
    ON_DESCRIPTOR(fd);
    if (!enter(&call, "write")) return -1;
    long at = call.counted ? where(fd) : 0;
    ssize_t done = CALL(write, fd, data, count);
    leave(&call, done >= 0, at, 0, data, done > 0 ? done : 0);
    return done;
}
EXPORT ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    if (!control) return CALL(pwrite64, fd, data, count, at);
    ON_DESCRIPTOR(fd);
    if (!enter(&call, "write")) return -1;
    ssize_t done = CALL(pwrite64, fd, data, count, at);
    leave(&call, done >= 0, at, 0, data, done > 0 ? done : 0);
    return done;
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!control) return CALL(writev, fd, parts, count);
    ON_DESCRIPTOR(fd);
    call.counted = beneath(call.path);
    /* As single writes: a short count is the caller's to handle anyway. */
    if (call.counted) return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0;
    return CALL(writev, fd, parts, count);
}

/* What lies in a file, for the log; the caller frees it. */
static char *content(int fd, off64_t at, size_t count) {
    char *buffer = malloc(count ? count : 1);
    size_t have = 0;
    ssize_t got;
    while (buffer && have < count && (got = pread64(fd, buffer + have, count - have, at + have)) > 0)
        have += got;
    return buffer;
}

EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count,
                               unsigned flags) {
    if (!control) return CALL(copy_file_range, in, in_at, out, out_at, count, flags);
    ON_DESCRIPTOR(out);
    if (!enter(&call, "write")) return -1;
    long from = in_at ? *in_at : where(in), to = out_at ? *out_at : where(out);
    ssize_t done = CALL(copy_file_range, in, in_at, out, out_at, count, flags);
    char *copied = call.counted && log_fd >= 0 && done > 0 ? content(in, from, done) : NULL;
    leave(&call, done >= 0, to, 0, copied, copied ? done : 0);
    free(copied);
    return done;
}
EXPORT ssize_t sendfile64(int out, int in, off64_t *in_at, size_t count) {
    if (!control) return CALL(sendfile64, out, in, in_at, count);
    ON_DESCRIPTOR(out);
    if (!enter(&call, "write")) return -1;
    long from = in_at ? *in_at : where(in), to = call.counted ? where(out) : 0;
    ssize_t done = CALL(sendfile64, out, in, in_at, count);
    char *copied = call.counted && log_fd >= 0 && done > 0 ? content(in, from, done) : NULL;
    leave(&call, done >= 0, to, 0, copied, copied ? done : 0);
    free(copied);
    return done;
}
EXPORT int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!control || request != FICLONE_NUMBER) return CALL(ioctl, fd, request, argument);
    ON_DESCRIPTOR(fd);
    if (!enter(&call, "clone")) return -1;
    int result = CALL(ioctl, fd, request, argument);
    struct stat64 status;
    char *copied = NULL;
    size_t size = 0;
    if (call.counted && log_fd >= 0 && !result && !fstat64(fd, &status)) {
        size = status.st_size;
        copied = content((int)(long)argument, 0, size);
    }
    leave(&call, !result, 0, 0, copied, size);
    free(copied);
    return result;
}
EXPORT int ftruncate64(int fd, off64_t size) {
    if (!control) return CALL(ftruncate64, fd, size);
    ON_DESCRIPTOR(fd);
    SIMPLE("truncate", size, 0, NULL, 0, ftruncate64, fd, size);
}
EXPORT int truncate64(const char *path, off64_t size) {
    if (!control) return CALL(truncate64, path, size);
    ON_PATH(AT_FDCWD, path);
    SIMPLE("truncate", size, 0, NULL, 0, truncate64, path, size);
}

/* Syncing */

EXPORT int fsync(int fd) {
    if (!control) return CALL(fsync, fd);
    ON_DESCRIPTOR(fd);
    SIMPLE("fsync", 0, 0, NULL, 0, fsync, fd);
}
EXPORT int fdatasync(int fd) {
    if (!control) return CALL(fdatasync, fd);
    ON_DESCRIPTOR(fd);
    SIMPLE("fsync", 0, 0, NULL, 0, fdatasync, fd);
}
EXPORT int syncfs(int fd) {
    if (!control) return CALL(syncfs, fd);
    ON_DESCRIPTOR(fd);
    SIMPLE("syncfs", 0, 0, NULL, 0, syncfs, fd);
}

/* Names */

#define NAMED(function, kind, at, path, a, b, parameters, ...) \
    EXPORT int function parameters { \
        if (!control) return CALL(function, __VA_ARGS__); \
        ON_PATH(at, path); \
        SIMPLE(kind, a, b, NULL, 0, function, __VA_ARGS__); \
    }

NAMED(mkdir, "mkdir", AT_FDCWD, path, mode, 0, (const char *path, mode_t mode), path, mode)
NAMED(mkdirat, "mkdir", at, path, mode, 0, (int at, const char *path, mode_t mode), at, path, mode)
NAMED(rmdir, "rmdir", AT_FDCWD, path, 0, 0, (const char *path), path)
NAMED(unlink, "unlink", AT_FDCWD, path, 0, 0, (const char *path), path)
NAMED(unlinkat, flags & AT_REMOVEDIR ? "rmdir" : "unlink", at, path, 0, 0,
      (int at, const char *path, int flags), at, path, flags)
NAMED(mknod, "mknod", AT_FDCWD, path, mode, (long)device,
      (const char *path, mode_t mode, dev_t device), path, mode, device)
NAMED(mknodat, "mknod", at, path, mode, (long)device,
      (int at, const char *path, mode_t mode, dev_t device), at, path, mode, device)
NAMED(mkfifo, "mknod", AT_FDCWD, path, mode | S_IFIFO, 0, (const char *path, mode_t mode), path,
      mode)
NAMED(mkfifoat, "mknod", at, path, mode | S_IFIFO, 0, (int at, const char *path, mode_t mode), at,
      path, mode)

#define NAMED_TWICE(function, kind, at, path, at2, path2, parameters, ...) \
    EXPORT int function parameters { \
        if (!control) return CALL(function, __VA_ARGS__); \
        ON_PATHS(at, path, at2, path2); \
        SIMPLE(kind, 0, 0, NULL, 0, function, __VA_ARGS__); \
    }

NAMED_TWICE(rename, "rename", AT_FDCWD, old, AT_FDCWD, new, (const char *old, const char *new), old,
            new)
NAMED_TWICE(renameat, "rename", at, old, at2, new,
            (int at, const char *old, int at2, const char *new), at, old, at2, new)
NAMED_TWICE(link, "link", AT_FDCWD, old, AT_FDCWD, new, (const char *old, const char *new), old,
            new)
NAMED_TWICE(linkat, "link", at, old, at2, new,
            (int at, const char *old, int at2, const char *new, int flags), at, old, at2, new,
            flags)

EXPORT int symlink(const char *target, const char *path) {
    if (!control) return CALL(symlink, target, path);
    ON_PATH(AT_FDCWD, path);
    SIMPLE("symlink", 0, 0, target, strlen(target), symlink, target, path);
}
EXPORT int symlinkat(const char *target, int at, const char *path) {
    if (!control) return CALL(symlinkat, target, at, path);
    ON_PATH(at, path);
    SIMPLE("symlink", 0, 0, target, strlen(target), symlinkat, target, at, path);
}

/* What inodes say of themselves */

NAMED(chmod, "chmod", AT_FDCWD, path, mode, 0, (const char *path, mode_t mode), path, mode)
NAMED(fchmodat, "chmod", at, path, mode, 0, (int at, const char *path, mode_t mode, int flags), at,
      path, mode, flags)
NAMED(chown, "chown", AT_FDCWD, path, owner, group, (const char *path, uid_t owner, gid_t group),
      path, owner, group)
NAMED(lchown, "chown", AT_FDCWD, path, owner, group, (const char *path, uid_t owner, gid_t group),
      path, owner, group)
NAMED(fchownat, "chown", at, path, owner, group,
      (int at, const char *path, uid_t owner, gid_t group, int flags), at, path, owner, group,
      flags)
NAMED(utimensat, "utime", at, path, times ? times[1].tv_sec : 0, times ? times[1].tv_nsec : 0,
      (int at, const char *path, const struct timespec times[2], int flags), at, path, times, flags)

EXPORT int fchmod(int fd, mode_t mode) {
    if (!control) return CALL(fchmod, fd, mode);
    ON_DESCRIPTOR(fd);
    SIMPLE("chmod", mode, 0, NULL, 0, fchmod, fd, mode);
}
EXPORT int fchown(int fd, uid_t owner, gid_t group) {
    if (!control) return CALL(fchown, fd, owner, group);
    ON_DESCRIPTOR(fd);
    SIMPLE("chown", owner, group, NULL, 0, fchown, fd, owner, group);
}
EXPORT int futimens(int fd, const struct timespec times[2]) {
    if (!control) return CALL(futimens, fd, times);
    ON_DESCRIPTOR(fd);
    SIMPLE("utime", times ? times[1].tv_sec : 0, times ? times[1].tv_nsec : 0, NULL, 0, futimens,
           fd, times);
}

/* The log has the attribute's name, a zero byte and the value. */
static char *pair(const char *name, const void *value, size_t size, size_t *length) {
    size_t start = strlen(name) + 1;
    char *made = malloc(start + size);
    if (!made) abort();
    memcpy(made, name, start);
    if (size) memcpy(made + start, value, size);
    *length = start + size;
    return made;
}

#define SET_ATTRIBUTE(function, where_, first, ...) \
    EXPORT int function(first, const char *name, const void *value, size_t size, int flags) { \
        if (!control) return CALL(function, __VA_ARGS__, name, value, size, flags); \
        where_; \
        if (!enter(&call, "setxattr")) return -1; \
        int result = CALL(function, __VA_ARGS__, name, value, size, flags); \
        size_t length; \
        char *both = pair(name, value, size, &length); \
        leave(&call, !result, 0, 0, both, length); \
        free(both); \
        return result; \
    }

SET_ATTRIBUTE(setxattr, ON_PATH(AT_FDCWD, path), const char *path, path)
SET_ATTRIBUTE(lsetxattr, ON_PATH(AT_FDCWD, path), const char *path, path)
SET_ATTRIBUTE(fsetxattr, ON_DESCRIPTOR(fd), int fd, fd)

#define REMOVE_ATTRIBUTE(function, where_, first, ...) \
    EXPORT int function(first, const char *name) { \
        if (!control) return CALL(function, __VA_ARGS__, name); \
        where_; \
        SIMPLE("removexattr", 0, 0, name, strlen(name), function, __VA_ARGS__, name); \
    }

REMOVE_ATTRIBUTE(removexattr, ON_PATH(AT_FDCWD, path), const char *path, path)
REMOVE_ATTRIBUTE(lremovexattr, ON_PATH(AT_FDCWD, path), const char *path, path)
REMOVE_ATTRIBUTE(fremovexattr, ON_DESCRIPTOR(fd), int fd, fd)

/* Mounts */

EXPORT int mount(const char *source, const char *target, const char *type, unsigned long flags,
                 const void *data) {
    if (!control) return CALL(mount, source, target, type, flags, data);
    ON_PATH(AT_FDCWD, target);
    SIMPLE("mount", flags, 0, NULL, 0, mount, source, target, type, flags, data);
}
EXPORT int umount2(const char *target, int flags) {
    if (!control) return CALL(umount2, target, flags);
    ON_PATH(AT_FDCWD, target);
    SIMPLE("umount", flags, 0, NULL, 0, umount2, target, flags);
}
