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
 *
 * This header has what its files share: `control.c` begins it, `call.c` counts a call and writes it
 * down, `content.c` and `names.c` have the calls that are counted.
 */
#ifndef SEAM_H
#define SEAM_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

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

extern struct control *control; /* NULL where nothing is counted */
extern char root[PATH_MAX];     /* calls beneath it are counted */
extern size_t root_length;
extern int log_fd;              /* -1 for no log */

/* Call a function of the C library, past ours of the same name. */
#define CALL(name, ...) ({ \
    static __typeof__(&name) real_; \
    if (!real_) real_ = (__typeof__(&name))real_symbol(#name); \
    real_(__VA_ARGS__); })
void *real_symbol(const char *name);

struct call {
    int counted;
    const char *kind;
    uint64_t number;
    char path[PATH_MAX], other[PATH_MAX];
};

/* The path of an open file; 0 if it has none. */
int of_descriptor(int fd, char *out);
/* The path that a call's arguments mean, without slashes at its end; empty if there is none. */
void absolute(int at, const char *path, char *out);
/* Whether a path is the root or lies beneath it. */
int beneath(const char *path);

/* Whether to go on with a call whose paths are filled in; otherwise errno is set. */
int enter(struct call *call, const char *kind);
/* End it: `done` says that it went well, the rest is for the log. */
void leave(struct call *call, int done, long a, long b, const void *data, size_t length);

/* What a call is about: its variable `call`, for `enter`. */
#define ON_PATH(at, path_) \
    struct call call; call.other[0] = 0; absolute((at), (path_), call.path)
#define ON_PATHS(at, path_, at2, path2_) \
    struct call call; absolute((at), (path_), call.path); absolute((at2), (path2_), call.other)
#define ON_DESCRIPTOR(fd) \
    struct call call; call.other[0] = 0; \
    if (!of_descriptor((fd), call.path)) call.path[0] = 0

/* All of a call that returns -1 when it fails, and whose log is known before it is made. */
#define SIMPLE(kind, a, b, data, length, name, ...) do { \
    if (!enter(&call, kind)) return -1; \
    __auto_type result = CALL(name, __VA_ARGS__); \
    leave(&call, result >= 0, (a), (b), (data), (length)); \
    return result; } while (0)

#endif
