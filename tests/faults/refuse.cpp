// Refuses file-system calls from below: preloaded, it counts write, fsync, rename and their like on files under one
// directory, and lets the k-th of them fail (or all from the k-th on, as on a disk that is full).
// FAULTS_UNDER names the directory; FAULTS_REFUSE=k:errno:sticky:rank arms it at the start, for one rank.
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

char under[PATH_MAX];
long seen = 0, at = 0;
int code = 0, sticky = 0;
char kinds[1 << 20];  // of the calls so far, a letter each

template <class F> F real(const char *name) { return reinterpret_cast<F>(dlsym(RTLD_NEXT, name)); }

bool is_under(const char *path) {
    const size_t n = strlen(under);
    if (!n || !path) return false;
    char whole[PATH_MAX];
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole)) return false;
        if (strlen(whole) + strlen(path) + 2 > sizeof whole) return false;
        strcat(strcat(whole, "/"), path);
        path = whole;
    }
    return !strncmp(path, under, n) && (path[n] == '/' || !path[n]);
}

bool is_under(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = 0;
    return is_under(path);
}

bool refused(char kind) {
    if (seen < static_cast<long>(sizeof kinds) - 1) kinds[seen] = kind;
    ++seen;
    if (!at || seen < at || (seen > at && !sticky)) return false;
    errno = code;
    return true;
}

__attribute__((constructor)) void begin() {
    const char *directory = getenv("FAULTS_UNDER"), *how = getenv("FAULTS_REFUSE"), *rank = getenv("PMI_RANK");
    if (directory) strncpy(under, directory, sizeof under - 1);
    int on = 0;
    if (how && sscanf(how, "%ld:%d:%d:%d", &at, &code, &sticky, &on) == 4 && atoi(rank ? rank : "0") != on) at = 0;
}

}  // namespace

extern "C" {

void faults_arm(const char *directory, long k, int error, int all) {
    strncpy(under, directory, sizeof under - 1);
    seen = 0, at = k, code = error, sticky = all;
    memset(kinds, 0, sizeof kinds);
}
const char *faults_seen() { return kinds; }

ssize_t write(int fd, const void *p, size_t n) {
    static auto f = real<ssize_t (*)(int, const void *, size_t)>("write");
    return is_under(fd) && refused('w') ? -1 : f(fd, p, n);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o) {
    static auto f = real<ssize_t (*)(int, const void *, size_t, off64_t)>("pwrite64");
    return is_under(fd) && refused('w') ? -1 : f(fd, p, n, o);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t o) {
    static auto f = real<ssize_t (*)(int, const void *, size_t, off_t)>("pwrite");
    return is_under(fd) && refused('w') ? -1 : f(fd, p, n, o);
}
ssize_t writev(int fd, const struct iovec *v, int n) {
    static auto f = real<ssize_t (*)(int, const struct iovec *, int)>("writev");
    return is_under(fd) && refused('w') ? -1 : f(fd, v, n);
}
int fsync(int fd) {
    static auto f = real<int (*)(int)>("fsync");
    return is_under(fd) && refused('s') ? -1 : f(fd);
}
int fdatasync(int fd) {
    static auto f = real<int (*)(int)>("fdatasync");
    return is_under(fd) && refused('s') ? -1 : f(fd);
}
int rename(const char *a, const char *b) {
    static auto f = real<int (*)(const char *, const char *)>("rename");
    return is_under(b) && refused('r') ? -1 : f(a, b);
}
int renameat(int d, const char *a, int e, const char *b) {
    static auto f = real<int (*)(int, const char *, int, const char *)>("renameat");
    return is_under(b) && refused('r') ? -1 : f(d, a, e, b);
}
int ftruncate64(int fd, off64_t n) {
    static auto f = real<int (*)(int, off64_t)>("ftruncate64");
    return is_under(fd) && refused('t') ? -1 : f(fd, n);
}
int ftruncate(int fd, off_t n) {
    static auto f = real<int (*)(int, off_t)>("ftruncate");
    return is_under(fd) && refused('t') ? -1 : f(fd, n);
}
int mkdir(const char *path, mode_t mode) {
    static auto f = real<int (*)(const char *, mode_t)>("mkdir");
    return is_under(path) && refused('m') ? -1 : f(path, mode);
}
int open64(const char *path, int flags, ...) {
    static auto f = real<int (*)(const char *, int, ...)>("open64");
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return (flags & O_CREAT) && is_under(path) && refused('o') ? -1 : f(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    static auto f = real<int (*)(const char *, int, ...)>("open");
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return (flags & O_CREAT) && is_under(path) && refused('o') ? -1 : f(path, flags, mode);
}
}
