/* Calls about names and inodes: made, linked, renamed, removed, described, and mounted upon. */
#include "seam.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

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
EXPORT int renameat2(int at, const char *old, int at2, const char *new, unsigned flags) {
    if (!control) return CALL(renameat2, at, old, at2, new, flags);
    ON_PATHS(at, old, at2, new);
    SIMPLE("rename", flags, 0, NULL, 0, renameat2, at, old, at2, new, flags);
}
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
