/* Calls about what lies in files: they are opened, written, copied, cut and synced. */
#include "seam.h"

#include <dirent.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

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

/* The kind of an ioctl that changes the disk, and what it names beneath the descriptor, if it does. */
static const char *kind_of_ioctl(unsigned long request, void *argument, const char **name) {
    struct btrfs_ioctl_vol_args *named = argument;
    struct btrfs_ioctl_vol_args_v2 *more = argument;
    switch (request) {
    case FICLONE: return "clone";
    case BTRFS_IOC_SUBVOL_CREATE: *name = named->name; return "subvolume";
    case BTRFS_IOC_SNAP_CREATE_V2: *name = more->name; return "snapshot";
    case BTRFS_IOC_SNAP_DESTROY: *name = named->name; return "destroy";
    case BTRFS_IOC_SNAP_DESTROY_V2:
        if (more->flags & BTRFS_SUBVOL_SPEC_BY_ID) return "destroy-by-id";
        *name = more->name;
        return "destroy";
    case BTRFS_IOC_SUBVOL_SETFLAGS: return "setflags";
    case FS_IOC_FSSETXATTR: return "project";
    case BTRFS_IOC_QUOTA_CTL:
    case BTRFS_IOC_QGROUP_CREATE:
    case BTRFS_IOC_QGROUP_ASSIGN:
    case BTRFS_IOC_QGROUP_LIMIT: return "quota";
    case BTRFS_IOC_SYNC: return "syncfs";
    default: return NULL;
    }
}
EXPORT int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    const char *name = NULL;
    const char *kind = control ? kind_of_ioctl(request, argument, &name) : NULL;
    if (!kind) return CALL(ioctl, fd, request, argument);
    ON_DESCRIPTOR(fd);
    if (request != FICLONE) {
        if (name) absolute(fd, name, call.path);
        if (request == BTRFS_IOC_SNAP_CREATE_V2)
            of_descriptor((int)((struct btrfs_ioctl_vol_args_v2 *)argument)->fd, call.other);
        SIMPLE(kind, 0, 0, NULL, 0, ioctl, fd, request, argument);
    }
    if (!enter(&call, kind)) return -1;
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
