/* How the seam begins: its control file, what the environment says, and the programs that are
 * started, which get it too. */
#include "seam.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct control *control;
char root[PATH_MAX];
size_t root_length;
int log_fd = -1;

void *real_symbol(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        dprintf(2, "seam: the C library has no %s\n", name);
        abort();
    }
    return found;
}

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

/* Whether a program answers the calls of those that the seam is in: their turn would not end while
 * it waited for its own. Nor is it ours to kill; a machine that fails takes its mount away. */
static int serves_mount(const char *path) {
    static const char name[] = "/fuse-overlayfs";
    size_t length = strlen(path);
    return length >= sizeof name - 1 && !strcmp(path + length - (sizeof name - 1), name);
}

/* Have what is started loaded with the seam. Called between vfork and exec: no heap. */
EXPORT int execve(const char *path, char *const argv[], char *const envp[]) {
    static const char *const names[] = {"LD_PRELOAD", "SEAM_CONTROL", "SEAM_ROOT", "SEAM_LOG"};
    enum { NAMES = sizeof names / sizeof *names };
    char texts[NAMES][PATH_MAX];
    size_t count = 0, added = 0;
    while (control && envp[count]) count++;
    char *all[count + NAMES + 1];
    if (!control || serves_mount(path)) return CALL(execve, path, argv, envp);
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
