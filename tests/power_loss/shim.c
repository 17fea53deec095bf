/* An LD_PRELOAD library that keeps a journal from which a loss of power can be computed.
 *
 * THEORY. Killing a process does not test fsync: what the process wrote stays in the kernel's page cache and
 * is read back after the restart as though it had been durable. This library therefore notes, for every
 * regular file beneath $POWERLOSS_DIR, what was written and what was promised. The calls themselves go
 * through unchanged. The journal ($POWERLOSS_JOURNAL) outlives SIGKILL in the very page cache that the files
 * are denied; harness.py computes from it what a disk would hold had the machine stopped at that instant.
 *
 * ORDER. The journal must promise neither more than the kernel did nor less than the program was told:
 *   - A change (create, write, truncate, rename, unlink) is done, then journalled, both under one lock, and
 *     only then returns. So the order in the journal is the order in the files, and a change that returned
 *     lies wholly in the journal. One that SIGKILL cuts off between its two halves is missing there, which is
 *     harmless: no sync that the program saw return can have covered it.
 *   - A sync reads the journal's length L, syncs for real without the lock (other threads go on writing),
 *     then journals "all of this file that was journalled before L is durable", then returns. What other
 *     threads write during the sync is not counted, nor is a sync that failed or that SIGKILL cut off: the
 *     program was never told of it.
 *   - Each record is one append, so SIGKILL can only tear the last one. Its call had not returned: left out.
 *
 * IDENTITY. Files are told apart by inode number and found from the descriptor (fstat, /proc/self/fd) at the
 * time of each call. So dup, fork, inherited descriptors and writes after a rename or unlink need no
 * bookkeeping, and close need not be intercepted.
 *
 * WHAT IS NOT MODELLED IS REFUSED with an error that file systems do give, so that callers fall back or fail
 * loudly rather than change a file unseen: kernel-side copies (EINVAL), shared writable mappings (ENODEV),
 * hard links (EPERM), renames into the directory or of anything but a regular file (EXDEV), punching holes
 * (EOPNOTSUPP). SQLite's *-shm files are exempt: mapped, rebuilt after a crash, of no meaning on the disk.
 * O_SYNC, sync, syncfs and sync_file_range count as no sync at all, which errs on the side of loss.
 * NOT SEEN: stdio streams (libc writes those without passing here), io_uring, direct system calls, statically
 * linked programs.
 *
 * $POWERLOSS_LIE=1: syncs are not journalled, as with a disk that acknowledges what it has only cached.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "64-bit only: the ...64 functions are aliases");

/* As read by harness.py: this header, the path relative to the directory, the data (or a rename's new path).
 * kind: C create, W write, T truncate, S file sync, D directory sync, R rename, U unlink
 * value: of C the mode, of W the offset in bytes, of T the size in bytes, of S and D the length L in bytes */
struct record {
    uint32_t magic, kind;
    uint64_t inode, value;
    uint32_t path_length, data_length;
};

#define MAGIC 0x4a4c5750u /* "PWLJ" in the journal */

static const char *root;
static bool lying;
static int journal = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what) {
    dprintf(STDERR_FILENO, "power-loss shim: %s: %s\n", what, strerror(errno));
    abort(); /* a journal with holes would make every later verdict worthless */
}

/* The mutex excludes threads, the record lock other processes: those that inherited LD_PRELOAD. */
static void lock(void) {
    struct flock whole = {.l_type = F_WRLCK};
    pthread_mutex_lock(&mutex);
    while (fcntl(journal, F_SETLKW, &whole) != 0)
        if (errno != EINTR) die("cannot lock the journal");
}

static void unlock(void) {
    struct flock whole = {.l_type = F_UNLCK};
    fcntl(journal, F_SETLK, &whole);
    pthread_mutex_unlock(&mutex);
}

static void before_fork(void) { pthread_mutex_lock(&mutex); }
static void after_fork(void) { pthread_mutex_unlock(&mutex); }

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("POWERLOSS_JOURNAL"), *lie = getenv("POWERLOSS_LIE");
    root = getenv("POWERLOSS_DIR");
    if (root == NULL || path == NULL) return;
    root = strdup(root);
    lying = lie != NULL && strcmp(lie, "1") == 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) die("cannot open the journal");
    /* High up, out of the way of programs that count on low numbers. */
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (journal < 0) die("cannot move the journal's descriptor");
    close(fd);
    pthread_atfork(before_fork, after_fork, after_fork);
}

static void append_data(char kind, uint64_t inode, uint64_t value, const char *path, const void *data,
                        size_t length) {
    struct record head = {MAGIC, (uint32_t)kind, inode, value, (uint32_t)strlen(path), (uint32_t)length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_length}, {(void *)data, length}};
    if (syscall(SYS_writev, journal, parts, 3) != (long)(sizeof head + head.path_length + length))
        die("cannot append to the journal");
}

static void append(char kind, uint64_t inode, uint64_t value, const char *path) {
    append_data(kind, inode, value, path, NULL, 0);
}

/* Whether a canonical path is watched; if so `relative` gets the part below the root ("" for the root). */
static bool below_root(const char *path, char relative[PATH_MAX]) {
    size_t length = strlen(root), total = strlen(path);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0')) return false;
    if (total >= 4 && strcmp(path + total - 4, "-shm") == 0) return false;
    strcpy(relative, path + length + (path[length] == '/'));
    return true;
}

/* Whether a descriptor is a watched file or directory; a file that has no name any more gets the path "". */
static bool watched_fd(int fd, struct stat *status, char relative[PATH_MAX]) {
    char link[40], path[PATH_MAX];
    if (journal < 0 || fstat(fd, status) != 0) return false;
    if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode)) return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return false;
    if (status->st_nlink == 0) length -= (ssize_t)strlen(" (deleted)");
    path[length] = '\0';
    if (!below_root(path, relative)) return false;
    if (status->st_nlink == 0) relative[0] = '\0';
    return true;
}

/* Whether a name, which need not exist, is watched. A symbolic link as its last part is not followed. */
static bool watched_path(int dirfd, const char *name, char relative[PATH_MAX]) {
    char joined[PATH_MAX + 40], path[PATH_MAX];
    if (journal < 0 || name == NULL || strlen(name) >= PATH_MAX) return false;
    if (name[0] == '/' || dirfd == AT_FDCWD)
        snprintf(joined, sizeof joined, "%s%s", name[0] == '/' ? "" : "./", name);
    else
        snprintf(joined, sizeof joined, "/proc/self/fd/%d/%s", dirfd, name);
    char *slash = strrchr(joined, '/'), last[NAME_MAX + 2];
    if (strlen(slash) > NAME_MAX + 1) return false;
    strcpy(last, slash);
    slash[joined == slash] = '\0';
    if (realpath(joined, path) == NULL || strlen(path) + strlen(last) >= PATH_MAX) return false;
    if (strcmp(path, "/") == 0) path[0] = '\0';
    return below_root(strcat(path, last), relative);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

/* ---- creation ---- */

static int do_open(int dirfd, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat status;
    if (!(flags & (O_CREAT | O_TRUNC)) || !watched_path(dirfd, name, path))
        return (int)syscall(SYS_openat, dirfd, name, flags, mode);
    lock();
    bool existed = fstatat(dirfd, name, &status, 0) == 0;
    int fd = (int)syscall(SYS_openat, dirfd, name, flags, mode);
    if (fd >= 0 && watched_fd(fd, &status, path) && S_ISREG(status.st_mode)) {
        if (!existed)
            append('C', status.st_ino, status.st_mode & 07777, path);
        else if (flags & O_TRUNC)
            append('T', status.st_ino, 0, path);
    }
    unlock();
    return fd;
}

#define OPTIONAL_MODE(flags, mode)                  \
    mode_t mode = 0;                                \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {        \
        va_list rest;                               \
        va_start(rest, flags);                      \
        mode = va_arg(rest, mode_t);                \
        va_end(rest);                               \
    }

int open(const char *name, int flags, ...) {
    OPTIONAL_MODE(flags, mode)
    return do_open(AT_FDCWD, name, flags, mode);
}

int openat(int dirfd, const char *name, int flags, ...) {
    OPTIONAL_MODE(flags, mode)
    return do_open(dirfd, name, flags, mode);
}

int creat(const char *name, mode_t mode) {
    return do_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- content ---- */

static bool is_watched(int fd) {
    char path[PATH_MAX];
    struct stat status;
    return watched_fd(fd, &status, path);
}

/* Writes to a watched file; position -1 is the descriptor's own. */
static ssize_t do_write(int fd, const struct iovec *parts, int count, off_t position, int flags) {
    char path[PATH_MAX];
    struct stat status;
    lock();
    ssize_t written = syscall(SYS_pwritev2, fd, parts, (long)count, position, 0L, flags);
    if (written > 0) {
        if (!watched_fd(fd, &status, path)) die("a watched file ceased to be one");
        /* Linux appends with O_APPEND wherever pwrite was told to go. */
        if (fcntl(fd, F_GETFL) & O_APPEND)
            position = status.st_size - written;
        else if (position == -1)
            position = lseek(fd, 0, SEEK_CUR) - written;
        for (ssize_t left = written; left > 0; parts++) {
            size_t length = parts->iov_len < (size_t)left ? parts->iov_len : (size_t)left;
            append_data('W', status.st_ino, (uint64_t)position, path, parts->iov_base, length);
            position += (off_t)length;
            left -= (ssize_t)length;
        }
    }
    unlock();
    return written;
}

ssize_t write(int fd, const void *data, size_t length) {
    if (!is_watched(fd)) return syscall(SYS_write, fd, data, length);
    return do_write(fd, &(struct iovec){(void *)data, length}, 1, -1, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_watched(fd)) return syscall(SYS_writev, fd, parts, (long)count);
    return do_write(fd, parts, count, -1, 0);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t position) {
    if (position < 0 || !is_watched(fd)) return syscall(SYS_pwrite64, fd, data, length, position);
    return do_write(fd, &(struct iovec){(void *)data, length}, 1, position, 0);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t position, int flags) {
    if (!is_watched(fd)) return syscall(SYS_pwritev2, fd, parts, (long)count, position, 0L, flags);
    return do_write(fd, parts, count, position, flags);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t position) {
    return position < 0 ? refuse(EINVAL) : pwritev2(fd, parts, count, position, 0);
}

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_fd(fd, &status, path)) return (int)syscall(SYS_ftruncate, fd, size);
    lock();
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0) append('T', status.st_ino, (uint64_t)size, path);
    unlock();
    return result;
}

int truncate(const char *name, off_t size) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_path(AT_FDCWD, name, path)) return (int)syscall(SYS_truncate, name, size);
    lock();
    int result = (int)syscall(SYS_truncate, name, size);
    if (result == 0 && stat(name, &status) == 0) append('T', status.st_ino, (uint64_t)size, path);
    unlock();
    return result;
}

int fallocate(int fd, int mode, off_t position, off_t length) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_fd(fd, &status, path)) return (int)syscall(SYS_fallocate, fd, mode, position, length);
    if (mode & ~FALLOC_FL_KEEP_SIZE) return refuse(EOPNOTSUPP);
    lock();
    int result = (int)syscall(SYS_fallocate, fd, mode, position, length);
    if (result == 0 && fstat(fd, &status) == 0)
        append('T', status.st_ino, (uint64_t)status.st_size, path);
    unlock();
    return result;
}

int posix_fallocate(int fd, off_t position, off_t length) {
    int before = errno, result = fallocate(fd, 0, position, length) == 0 ? 0 : errno;
    errno = before; /* this one function returns its error */
    return result;
}

/* ---- promises ---- */

static int do_sync(int fd, long call) {
    char path[PATH_MAX];
    struct stat status, journalled;
    if (!watched_fd(fd, &status, path)) return (int)syscall(call, fd);
    if (fstat(journal, &journalled) != 0) die("cannot measure the journal");
    int result = (int)syscall(call, fd);
    if (result == 0 && !lying) {
        lock();
        char kind = S_ISDIR(status.st_mode) ? 'D' : 'S';
        append(kind, status.st_ino, (uint64_t)journalled.st_size, path);
        unlock();
    }
    return result;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

/* ---- names ---- */

int unlinkat(int dirfd, const char *name, int flags) {
    char path[PATH_MAX];
    if ((flags & AT_REMOVEDIR) || !watched_path(dirfd, name, path))
        return (int)syscall(SYS_unlinkat, dirfd, name, flags);
    struct stat status;
    lock();
    bool regular = fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
    int result = (int)syscall(SYS_unlinkat, dirfd, name, flags);
    if (result == 0 && regular) append('U', 0, 0, path);
    unlock();
    return result;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int remove(const char *name) {
    int result = unlink(name);
    return result != 0 && errno == EISDIR ? rmdir(name) : result;
}

int renameat2(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name, unsigned flags) {
    char old_path[PATH_MAX], new_path[PATH_MAX];
    bool from = watched_path(old_dirfd, old_name, old_path);
    bool to = watched_path(new_dirfd, new_name, new_path);
    if (!from && !to) return (int)syscall(SYS_renameat2, old_dirfd, old_name, new_dirfd, new_name, flags);
    if (flags & ~(unsigned)RENAME_NOREPLACE) return refuse(EINVAL);
    if (!from) return refuse(EXDEV);
    struct stat status;
    if (fstatat(old_dirfd, old_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(status.st_mode))
        return refuse(EXDEV);
    lock();
    int result = (int)syscall(SYS_renameat2, old_dirfd, old_name, new_dirfd, new_name, flags);
    if (result == 0 && to)
        append_data('R', 0, 0, old_path, new_path, strlen(new_path));
    else if (result == 0)
        append('U', 0, 0, old_path); /* moved away: gone, for the watched directory */
    unlock();
    return result;
}

int renameat(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name) {
    return renameat2(old_dirfd, old_name, new_dirfd, new_name, 0);
}

int rename(const char *old_name, const char *new_name) {
    return renameat2(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}

/* ---- refused, so that nothing changes unseen ---- */

int linkat(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name, int flags) {
    char path[PATH_MAX];
    if (watched_path(old_dirfd, old_name, path) || watched_path(new_dirfd, new_name, path))
        return refuse(EPERM);
    return (int)syscall(SYS_linkat, old_dirfd, old_name, new_dirfd, new_name, flags);
}

int link(const char *old_name, const char *new_name) {
    return linkat(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}

ssize_t sendfile(int out, int in, off_t *position, size_t length) {
    if (is_watched(out)) return refuse(EINVAL);
    return syscall(SYS_sendfile, out, in, position, length);
}

ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
    if (is_watched(out)) return refuse(EINVAL);
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
}

ssize_t splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
    if (is_watched(out)) return refuse(EINVAL);
    return syscall(SYS_splice, in, in_at, out, out_at, length, flags);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t position) {
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && fd >= 0 && is_watched(fd)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, position);
}

/* ---- the names for large files: the same functions where off_t has 64 bits ---- */

int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
int creat64(const char *, mode_t) __attribute__((alias("creat")));
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));
ssize_t pwritev64v2(int, const struct iovec *, int, off_t, int) __attribute__((alias("pwritev2")));
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));
int truncate64(const char *, off_t) __attribute__((alias("truncate")));
int fallocate64(int, int, off_t, off_t) __attribute__((alias("fallocate")));
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));
ssize_t sendfile64(int, int, off_t *, size_t) __attribute__((alias("sendfile")));
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
