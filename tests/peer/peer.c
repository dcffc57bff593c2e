/* See peer.h. The order of this file: words and bytes, descriptions, proof of death, trust,
 * closing, opening, waiting, looking. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are little-endian (1)");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics (1)");

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* 1: indices of the words of the region. 7: those of the header. */
enum {
    OWNER = 0, GENERATION = 1, MAGIC = 2, RECOVERIES = 3, UUID = 4, PID = 8, PID_NAMESPACE = 9,
    SINCE = 10, GENERATION_HIGH = 12, SEQUENCE = 13, RECORD_TOKEN = 14, CONTENDED = 15,
    DESCRIPTION = 16, REGION_WORDS = 32,
    DATA_LENGTH = 34, MADE = 35,
};
#define WAITERS PEER_WAITERS
#define DIED PEER_DIED
#define TOKEN PEER_TOKEN
#define OUR_MAGIC 0x014c4853u
#define FILE_SIZE 192
#define DATA_MAX (INT64_C(1) << 30)

/* 2 */
#define FIRST_LIVING 65536u
#define LAST_LIVING (TOKEN - 1u)

/* 8 */
#define BYTE_PRESENT ((off_t)1 << 30)
#define BYTE_NOBODY (BYTE_PRESENT + 1)
#define BYTE_WATCH (BYTE_PRESENT + 2)

#define OPEN_FLAGS (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define BEGIN_AGAIN (-1000)
#define NOT_THERE (-1001)
#define MS INT64_C(1000000)

/* 8a: a descriptor, and what it is known by. Mark 0: the mark is not set yet. */
struct desc {
    int fd;
    off_t mark;
    dev_t dev;
    ino_t ino;
};

struct peer_lock {
    _Atomic uint32_t *map;
    struct desc b;
    dev_t dev;
    ino_t ino;
    char *dir, *path;
    mode_t mode;
    const uid_t *trusted;
    size_t trusted_count;
    bool plain, held, record_changed, watching;
    int64_t interval;
    uint32_t token, process;
    uint8_t uuid[16];
    uint8_t description[64];
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
    struct timespec t;
    memset(&t, 0, sizeof t);
    t.tv_sec = (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

static void pause_ns(int64_t ns)
{
    struct timespec t = to_timespec(ns);
    nanosleep(&t, NULL);
}

static int random_bytes(void *to, size_t n)
{
    ssize_t r;
    do
        r = getrandom(to, n, 0);
    while (r < 0 && errno == EINTR);
    return r == (ssize_t)n ? 0 : r < 0 ? errno : EIO;
}

/* 1, 7: strict UTF-8. Surrogates, overlong forms and numbers above 10FFFF are not valid. */
static bool is_utf8(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t c = s[i++];
        if (c < 0x80)
            continue;
        size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || n - i < more)
            return false;
        uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (; more > 0; more--, i++, low = 0x80, high = 0xbf)
            if (s[i] < low || s[i] > high)
                return false;
    }
    return true;
}

/* ---- Words (3). All operations are relaxed. The fences carry the order. ---- */

static uint32_t load(const peer_lock *l, int word)
{
    return atomic_load_explicit(&l->map[word], memory_order_relaxed);
}

static void store(peer_lock *l, int word, uint32_t value)
{
    atomic_store_explicit(&l->map[word], value, memory_order_relaxed);
}

static bool cas(peer_lock *l, int word, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&l->map[word], &from, to,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static void acquire_fence(void) { atomic_thread_fence(memory_order_acquire); }
static void release_fence(void) { atomic_thread_fence(memory_order_release); }

static void count_recovery(peer_lock *l)
{
    atomic_fetch_add_explicit(&l->map[RECOVERIES], 1, memory_order_relaxed);
}

/* 12: Wake. Errors are ignored. */
static void wake_one(peer_lock *l)
{
    syscall(SYS_futex, (void *)&l->map[OWNER], FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* 12: Sleep. The result is 0 for a wake or another value, ETIMEDOUT for all else. */
static int sleep_on_word(peer_lock *l, uint32_t value, int64_t ns)
{
    struct timespec t = to_timespec(ns);
    if (syscall(SYS_futex, (void *)&l->map[OWNER], FUTEX_WAIT, value, &t, NULL, 0) == 0
        || errno == EAGAIN)
        return 0;
    if (errno != ETIMEDOUT && errno != EINTR)
        pause_ns(ns);
    return ETIMEDOUT;
}

/* 3: release (keep = DIED), pass on (keep = WAITERS | DIED), abandon and declare stale
 * (keep = 0, add = DIED). The result is false if the word does not name the token; else *old is
 * the word before. */
static bool give_back(peer_lock *l, uint32_t token, uint32_t keep, uint32_t add, uint32_t *old)
{
    release_fence();
    for (;;) {
        *old = load(l, OWNER);
        if ((*old & TOKEN) != token)
            return false;
        if (cas(l, OWNER, *old, (*old & keep) | add))
            return true;
    }
}

/* 3: take over, from a token that is proven dead, or from the handle's own. */
static bool take_over(peer_lock *l, uint32_t from)
{
    for (;;) {
        uint32_t w = load(l, OWNER);
        if ((w & TOKEN) != from)
            return false;
        if (cas(l, OWNER, w, l->token | WAITERS | DIED)) {
            acquire_fence();
            return true;
        }
    }
}

/* ---- Byte locks (8) ---- */

static int fcntl_lock(int fd, int command, int type, off_t byte, struct flock *f)
{
    int r;
    do {
        memset(f, 0, sizeof *f);
        f->l_type = (short)type;
        f->l_whence = SEEK_SET;
        f->l_start = byte;
        f->l_len = 1;
        r = fcntl(fd, command, f);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : errno;
}

/* 8, Lock and Unlock: 0 = granted, EAGAIN = not granted, another errno = no byte locks here. */
static int lock_byte(const struct desc *d, int type, off_t byte)
{
    struct flock f;
    int e = fcntl_lock(d->fd, F_OFD_SETLK, type, byte, &f);
    return e == EACCES ? EAGAIN : e;
}

enum look { LOOK_FREE, LOOK_LOCKED, LOOK_ERROR };

/* 8, Look */
static enum look look_at_byte(const struct desc *d, off_t byte, struct flock *answer)
{
    struct flock f;
    if (fcntl_lock(d->fd, F_OFD_GETLK, F_WRLCK, byte, &f) != 0)
        return LOOK_ERROR;
    if (answer != NULL)
        *answer = f;
    return f.l_type == F_UNLCK ? LOOK_FREE : LOOK_LOCKED;
}

/* ---- Descriptions (8a) ---- */

static bool is_itself(const struct desc *d)
{
    struct stat s;
    return d->fd >= 0 && d->mark != 0 && fstat(d->fd, &s) == 0 && s.st_dev == d->dev
           && s.st_ino == d->ino && lseek(d->fd, 0, SEEK_CUR) == d->mark;
}

/* A description without a mark was opened a moment ago by the same function. */
static void close_desc(struct desc *d)
{
    if (d->fd >= 0 && (d->mark == 0 || is_itself(d)))
        close(d->fd);
    d->fd = -1;
}

/* The marks count upwards from a beginning, and begin anew at the end of their range.
 * A: 2^29..2^30-1. B: 2^30..2^31-1. The beginning is drawn from the clock: another program that
 * has inherited a description most likely has others. */
static atomic_uint next_mark;

static int set_mark(struct desc *d, bool is_a)
{
    uint32_t base = is_a ? 1u << 29 : 1u << 30, zero = 0;
    if (atomic_load(&next_mark) == 0)
        atomic_compare_exchange_strong(&next_mark, &zero, (uint32_t)now_ns() | 1u);
    off_t mark = (off_t)(base + (atomic_fetch_add(&next_mark, 1u) & (base - 1u)));
    if (lseek(d->fd, mark, SEEK_SET) != mark)
        return errno;
    d->mark = mark;
    return 0;
}

static int open_path(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* 9.2: B by name, for a file that is known already. */
static int open_b(struct desc *b, const char *path, dev_t dev, ino_t ino)
{
    struct stat s;
    b->mark = 0;
    b->fd = open_path(path, O_RDWR | OPEN_FLAGS, 0);
    if (b->fd < 0)
        return errno == ENOENT ? BEGIN_AGAIN : errno;
    int e = fstat(b->fd, &s) != 0 ? errno : s.st_dev != dev || s.st_ino != ino ? BEGIN_AGAIN : 0;
    b->dev = dev;
    b->ino = ino;
    if (e == 0)
        e = set_mark(b, false);
    if (e != 0)
        close_desc(b);
    return e;
}

/* 8a, Without B: the handle's B, or another description in *spare, or NULL. */
static struct desc *usable_b(peer_lock *l, struct desc *spare)
{
    spare->fd = -1;
    if (is_itself(&l->b))
        return &l->b;
    return open_b(spare, l->path, l->dev, l->ino) == 0 ? spare : NULL;
}

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* 8a, step 2: the page that keeps a description. */
static int keep_description(const struct desc *d, void **page)
{
    *page = mmap(NULL, page_size(), PROT_NONE, MAP_SHARED, d->fd, 0);
    if (*page == MAP_FAILED) {
        *page = NULL;
        return errno;
    }
    return madvise(*page, page_size(), MADV_DONTFORK) == 0 ? 0 : errno;
}

static void drop_page(void *page)
{
    if (page != NULL)
        munmap(page, page_size());
}

/* 8a, Proof of death, with 5: true if the lock was taken over from token t. */
static bool replace_dead(peer_lock *l, uint32_t t)
{
    struct desc spare;
    void *page = NULL;
    bool taken = false;
    off_t byte = BYTE_PRESENT + (off_t)t;
    if (t < FIRST_LIVING)
        return false;
    struct desc *b = usable_b(l, &spare);
    if (b == NULL)
        return false;
    if (is_itself(b) && look_at_byte(b, byte, NULL) == LOOK_FREE) {
        int e = keep_description(b, &page);
        if ((e == 0 || e == ENOMEM) && is_itself(b) && lock_byte(b, F_WRLCK, byte) == 0
            && is_itself(b)) {
            taken = take_over(l, t);
            if (is_itself(b))
                lock_byte(b, F_UNLCK, byte);
        }
    }
    drop_page(page);
    close_desc(&spare);
    if (taken)
        count_recovery(l);
    return taken;
}

/* ---- Trust (9.1) ---- */

/* A map of a user namespace: true in *has if it has id; the number of ids in *ids. */
static bool read_id_map(const char *path, uint32_t id, bool *has, uint64_t *ids)
{
    FILE *f = fopen(path, "re");
    unsigned long inside, outside, count;
    if (f == NULL)
        return false;
    *has = false;
    *ids = 0;
    while (fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3) {
        *has = *has || (id >= inside && id - inside < count);
        *ids += count;
    }
    bool good = ferror(f) == 0;
    fclose(f);
    return good;
}

static uint32_t overflow_id(const char *path)
{
    unsigned long id = 65534;
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%lu", &id) != 1)
            id = 65534;
        fclose(f);
    }
    return (uint32_t)id;
}

static bool is_group_of_ours(gid_t gid)
{
    gid_t *groups;
    bool found = gid == getegid(), has;
    uint64_t ids;
    int n = getgroups(0, NULL);
    if (!found && n > 0 && (groups = calloc((size_t)n, sizeof *groups)) != NULL) {
        n = getgroups(n, groups);
        for (int i = 0; i < n; i++)
            found = found || groups[i] == gid;
        free(groups);
    }
    if (found && gid == overflow_id("/proc/sys/kernel/overflowgid"))
        return read_id_map("/proc/self/gid_map", gid, &has, &ids) && ids >= UINT32_MAX;
    return found;
}

static bool is_trusted(const peer_lock *l, int fd, const struct stat *s)
{
    bool has;
    uint64_t ids;
    for (size_t i = 0; i < l->trusted_count; i++)
        if (l->trusted[i] == s->st_uid)
            return true;
    if (s->st_uid == overflow_id("/proc/sys/kernel/overflowuid")) {
        int flags = fcntl(fd, F_GETFL);
        if (s->st_uid != geteuid() || flags < 0
            || (read_id_map("/proc/self/uid_map", s->st_uid, &has, &ids) && !has)
            || fcntl(fd, F_SETFL, flags | O_NOATIME) != 0)
            return false;
        fcntl(fd, F_SETFL, flags);
        return true;
    }
    return s->st_uid == geteuid() || s->st_uid == 0
           || ((l->mode & 0020) != 0 && is_group_of_ours(s->st_gid)) || (l->mode & 0002) != 0;
}

static int judge_trust(const peer_lock *l, int fd, const struct stat *s)
{
    if (!is_trusted(l, fd, s))
        return PEER_FOREIGN_OWNER;
    return (s->st_mode & 07777 & ~l->mode) != 0 ? PEER_MODE_TOO_WIDE : 0;
}

/* ---- Closing (10) ---- */

/* 10.5: the conditions under which a file goes, under the write lock on byte 2^30. */
static bool may_remove(const struct desc *b, const char *path)
{
    struct stat s;
    uint32_t w = 0;
    ssize_t n;
    if (fstat(b->fd, &s) != 0 || s.st_nlink != 1)
        return false;
    do
        n = pread(b->fd, &w, sizeof w, 0);
    while (n < 0 && errno == EINTR);
    if (!(n == 0 || (n == (ssize_t)sizeof w && (w & ~WAITERS) == 0)))
        return false;
    return stat(path, &s) == 0 && s.st_dev == b->dev && s.st_ino == b->ino && is_itself(b);
}

/* 10.4 to 10.6: b is closed in every case. */
static void last_steps(struct desc *b, const char *path)
{
    void *page = NULL;
    bool granted = false;
    if (is_itself(b) && keep_description(b, &page) == 0 && is_itself(b)) {
        granted = lock_byte(b, F_WRLCK, BYTE_PRESENT) == 0;
        if (granted && is_itself(b) && may_remove(b, path))
            unlink(path);
    }
    if (granted)
        lock_byte(b, is_itself(b) ? F_UNLCK : F_RDLCK, BYTE_PRESENT);
    drop_page(page);
    close_desc(b);
}

static void free_handle(peer_lock *l)
{
    free(l->dir);
    free(l->path);
    free(l);
}

/* ---- Fork (11) ---- */

/* The page holds the generation of the process. A fork wipes it. */
static _Atomic uint32_t *process_page;
static atomic_uint process_counter;

static void wipe_process(void) { atomic_store(process_page, 0); }

/* pthread_once is not used: glibc aborts in it where a sandbox refuses the futex (12). */
static void make_process_page(void)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    static atomic_bool done;
    if (atomic_flag_test_and_set(&begun)) {
        while (!atomic_load(&done))
            sched_yield();
        return;
    }
    void *p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        process_page = p;
        if (madvise(p, page_size(), MADV_WIPEONFORK) != 0)
            pthread_atfork(NULL, NULL, wipe_process);
    }
    atomic_store(&done, true);
}

/* The generation of this process; 0 if there is no memory. */
static uint32_t this_process(void)
{
    uint32_t zero = 0;
    make_process_page();
    if (process_page == NULL)
        return 0;
    if (atomic_load(process_page) == 0)
        atomic_compare_exchange_strong(process_page, &zero,
                                       atomic_fetch_add(&process_counter, 1u) + 1u);
    return atomic_load(process_page);
}

static bool is_ours(const peer_lock *l) { return l->process == this_process(); }

int peer_close(peer_lock *l, bool finished)
{
    struct desc spare = {.fd = -1};
    int e = 0;
    if (!is_ours(l)) {
        /* 11: the child closes its copy of B. The mapping is not in the child. */
        close_desc(&l->b);
        free_handle(l);
        return PEER_FORKED;
    }
    if (l->held && finished)
        e = peer_release(l);
    struct desc *b = usable_b(l, &spare);
    munmap((void *)l->map, FILE_SIZE);
    if (b != NULL)
        last_steps(b, l->path);
    free_handle(l);
    return e;
}

/* ---- Opening (9) ---- */

struct opening {
    peer_lock *l;
    struct desc a;
    bool made;      /* the file was made by this try, without a name at first */
    bool present;   /* step 3 is done */
    bool lockish;   /* step 4: the file is empty or a lock */
};

/* 9.4, Writing zeros: a file system without fallocate. */
static int write_zeros(struct opening *o)
{
    uint32_t words[FILE_SIZE / 4] = {0};
    struct stat s;
    struct rlimit limit;
    ssize_t n;
    int e = 0;
    if (fstat(o->a.fd, &s) != 0 || pread(o->a.fd, words, sizeof words, 0) < 0)
        return errno;
    if (s.st_size >= FILE_SIZE && words[MAGIC] == OUR_MAGIC)
        return 0;
    if (o->present && (e = lock_byte(&o->a, F_WRLCK, BYTE_PRESENT)) != 0)
        return e == EAGAIN ? BEGIN_AGAIN : PEER_UNSUPPORTED;
    memset(words, 0, sizeof words);
    if (fstat(o->a.fd, &s) != 0 || pread(o->a.fd, words, sizeof words, 0) < 0)
        e = errno;
    else if (words[MAGIC] == 0) {
        memset(words, 0, sizeof words);
        words[MAGIC] = OUR_MAGIC;
        if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < FILE_SIZE)
            e = EFBIG;
        else {
            do
                n = pwrite(o->a.fd, words, sizeof words, 0);
            while (n < 0 && errno == EINTR);
            e = n == FILE_SIZE ? 0 : n < 0 ? errno : ENOSPC;
        }
    }
    if (o->present && lock_byte(&o->a, F_RDLCK, BYTE_PRESENT) != 0 && e == 0)
        e = BEGIN_AGAIN;
    return e;
}

/* 9.4, Memory: the file keeps its content, and never shrinks. */
static int allocate(struct opening *o)
{
    struct stat s;
    struct rlimit limit;
    if (fstat(o->a.fd, &s) != 0)
        return errno;
    if (s.st_size < FILE_SIZE && getrlimit(RLIMIT_FSIZE, &limit) == 0
        && limit.rlim_cur < FILE_SIZE)
        return EFBIG;
    int r;
    do
        r = fallocate(o->a.fd, 0, 0, FILE_SIZE);
    while (r != 0 && errno == EINTR);
    if (r == 0)
        return 0;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)
        return errno;
    return write_zeros(o);
}

/* 9.1: the file that the name leads to. */
static int open_existing(struct opening *o)
{
    struct stat s, named;
    const peer_lock *l = o->l;
    o->a.mark = 0;
    o->a.fd = open_path(l->path, O_RDWR | OPEN_FLAGS, 0);
    if (o->a.fd < 0)
        return errno == ENOENT ? NOT_THERE
               : errno == ELOOP || errno == EISDIR || errno == ENXIO ? PEER_NOT_A_FILE : errno;
    if (fstat(o->a.fd, &s) != 0)
        return errno;
    if (!S_ISREG(s.st_mode))
        return PEER_NOT_A_FILE;
    int e = judge_trust(l, o->a.fd, &s);
    if (e != 0)
        return e;
    if (s.st_nlink == 0 && stat(l->path, &named) == 0 && named.st_dev == s.st_dev
        && named.st_ino == s.st_ino)
        return PEER_MOUNTED;
    o->a.dev = s.st_dev;
    o->a.ino = s.st_ino;
    return set_mark(&o->a, true);
}

/* 9.1: fchmod, and the trust of a file that this try has made. */
static int finish_new(struct opening *o)
{
    struct stat s;
    int e = fchmod(o->a.fd, o->l->mode) == 0 ? 0 : errno;
    if (fstat(o->a.fd, &s) != 0)
        return errno;
    if (e != 0 && (s.st_mode & 07777) != o->l->mode)
        return e;
    o->a.dev = s.st_dev;
    o->a.ino = s.st_ino;
    return judge_trust(o->l, o->a.fd, &s);
}

/* 9.1, Not there: EEXIST = another process was faster, ENOTSUP = no nameless files. */
static int make_nameless(struct opening *o)
{
    char self[64];
    const peer_lock *l = o->l;
    o->a.mark = 0;
    o->a.fd = open_path(l->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, l->mode);
    if (o->a.fd < 0)
        return ENOTSUP;
    int e = finish_new(o);
    if (e == 0)
        e = allocate(o);
    if (e == 0 && (e = lock_byte(&o->a, F_RDLCK, BYTE_PRESENT)) != 0)
        e = PEER_UNSUPPORTED;
    if (e != 0)
        return e == EEXIST || e == ENOTSUP ? EIO : e;
    snprintf(self, sizeof self, "/proc/self/fd/%d", o->a.fd);
    if (linkat(o->a.fd, "", AT_FDCWD, l->path, AT_EMPTY_PATH) != 0
        && (errno == EEXIST
            || linkat(AT_FDCWD, self, AT_FDCWD, l->path, AT_SYMLINK_FOLLOW) != 0))
        return errno == EEXIST ? EEXIST : ENOTSUP;
    o->made = o->present = o->lockish = true;
    return set_mark(&o->a, true);
}

/* 9.1, Without nameless files: an empty file, which is then opened as any other. */
static int make_named(struct opening *o)
{
    o->a.mark = 0;
    o->a.fd = open_path(o->l->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        o->l->mode);
    if (o->a.fd < 0)
        return errno == EEXIST ? 0 : errno;
    int e = finish_new(o);
    close_desc(&o->a);
    return e;
}

/* 9.1 */
static int find_file(struct opening *o)
{
    int e = open_existing(o);
    if (e != NOT_THERE)
        return e;
    e = o->l->plain ? ENOTSUP : make_nameless(o);
    if (e != EEXIST && e != ENOTSUP)
        return e;
    close_desc(&o->a);
    if (e == ENOTSUP && (e = make_named(o)) != 0)
        return e;
    e = open_existing(o);
    return e == NOT_THERE ? BEGIN_AGAIN : e;
}

static int pread_word(int fd, int word, uint32_t *value)
{
    ssize_t n;
    *value = 0;
    do
        n = pread(fd, value, sizeof *value, (off_t)word * 4);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

static int judge_magic(uint32_t magic)
{
    if (magic == OUR_MAGIC)
        return 0;
    return (magic ^ OUR_MAGIC) << 8 == 0 ? PEER_OTHER_VERSION : PEER_NO_LOCK;
}

/* 7, the table: 0 if an opener of a lock uses a file of this size. `made` is read before the data
 * length: the creator of a block writes them in the reverse order. */
static int judge_size(int fd, off_t size)
{
    uint32_t length, made, magic;
    int e;
    if (size == 0 || size == FILE_SIZE)
        return 0;
    if ((e = pread_word(fd, MADE, &made)) != 0 || (e = pread_word(fd, DATA_LENGTH, &length)) != 0
        || (e = pread_word(fd, MAGIC, &magic)) != 0)
        return e;
    int64_t data = size - FILE_SIZE;
    if (data < 1 || data > DATA_MAX)
        return PEER_BAD_SIZE;
    return data == length || (length == 0 && magic == OUR_MAGIC && made != 1) ? 0 : PEER_BAD_SIZE;
}

/* 9.4 */
static int judge_content(struct opening *o)
{
    struct stat s;
    uint32_t magic;
    if (fstat(o->a.fd, &s) != 0)
        return errno;
    if (s.st_nlink == 0)
        return BEGIN_AGAIN;
    int e = judge_size(o->a.fd, s.st_size);
    if (e == 0)
        e = pread_word(o->a.fd, MAGIC, &magic);
    if (e != 0)
        return e;
    if (magic != 0 && (e = judge_magic(magic)) != 0)
        return e;
    if (magic == 0 && s.st_nlink > 1)
        return PEER_SECOND_NAME;
    o->lockish = true;
    return allocate(o);
}

/* 9.5 */
static int map_file(struct opening *o)
{
    peer_lock *l = o->l;
    void *p = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, o->a.fd, 0);
    if (p == MAP_FAILED)
        return errno;
    l->map = p;
    if (madvise(p, FILE_SIZE, MADV_DONTFORK) != 0)
        return errno;
    int r;
    do
        r = madvise(p, FILE_SIZE, MADV_POPULATE_WRITE);
    while (r != 0 && errno == EINTR);
    if (r != 0 && errno == EFAULT)
        return PEER_TRUNCATED;
    if (r != 0 && (errno == ENOMEM || errno == EHWPOISON))
        return errno;
    if (cas(l, MAGIC, 0, OUR_MAGIC))
        return 0;
    return judge_magic(load(l, MAGIC));
}

/* 9.6 */
static int take_token(struct opening *o)
{
    peer_lock *l = o->l;
    uint32_t t, old;
    struct flock f;
    int e;
    do {
        if ((e = random_bytes(&t, sizeof t)) != 0)
            return e;
        t &= TOKEN;
    } while (t < FIRST_LIVING || t > LAST_LIVING);
    for (int tries = 0; (e = lock_byte(&o->a, F_WRLCK, BYTE_PRESENT + (off_t)t)) != 0; tries++) {
        if (e != EAGAIN)
            return PEER_UNSUPPORTED;
        if (tries == 1000)
            return EAGAIN;
        enum look k = look_at_byte(&o->a, BYTE_PRESENT + (off_t)t, &f);
        if (k == LOOK_ERROR)
            return PEER_UNSUPPORTED;
        if (k == LOOK_FREE)
            continue;
        off_t next = f.l_len == 0 ? 0 : f.l_start + f.l_len - BYTE_PRESENT;
        t = next <= (off_t)t || next > (off_t)LAST_LIVING ? FIRST_LIVING : (uint32_t)next;
    }
    l->token = t;
    if (give_back(l, t, 0, DIED, &old)) {
        count_recovery(l);
        if ((old & WAITERS) != 0)
            wake_one(l);
    }
    return 0;
}

/* 9.7 */
static int see_from_outside(struct opening *o)
{
    const struct desc *b = &o->l->b;
    bool good = look_at_byte(b, BYTE_PRESENT + (off_t)o->l->token, NULL) == LOOK_LOCKED
                && look_at_byte(b, BYTE_NOBODY, NULL) == LOOK_FREE;
    if (!is_itself(&o->a) || !is_itself(b))
        return BEGIN_AGAIN;
    return good ? 0 : PEER_UNSUPPORTED;
}

/* 9, after step 8: an opener that fails leaves as a closer does. */
static void leave_opening(struct opening *o)
{
    peer_lock *l = o->l;
    struct desc *b = l->b.fd >= 0 ? &l->b : &o->a;
    bool removes = o->made
                   || (o->lockish && look_at_byte(b, BYTE_PRESENT, NULL) == LOOK_LOCKED
                       && look_at_byte(b, BYTE_NOBODY, NULL) == LOOK_FREE);
    if (l->map != NULL)
        munmap((void *)l->map, FILE_SIZE);
    l->map = NULL;
    if (o->present && is_itself(&o->a))
        lock_byte(&o->a, F_UNLCK, BYTE_PRESENT);
    if (o->present && removes)
        last_steps(b, l->path);
    close_desc(&l->b);
    close_desc(&o->a);
}

/* 9, one try. */
static int open_once(peer_lock *l)
{
    struct opening o = {.l = l, .a = {.fd = -1}};
    l->b.fd = -1;
    int e = find_file(&o);
    if (e == 0)
        e = open_b(&l->b, l->path, o.a.dev, o.a.ino);
    if (e == 0 && !o.made) {
        e = lock_byte(&o.a, F_RDLCK, BYTE_PRESENT);
        o.present = e == 0;
        e = e == EAGAIN ? BEGIN_AGAIN : e != 0 ? PEER_UNSUPPORTED : judge_content(&o);
    }
    if (e == 0)
        e = map_file(&o);
    if (e == 0)
        e = take_token(&o);
    if (e == 0)
        e = see_from_outside(&o);
    if (e != 0) {
        leave_opening(&o);
        return e;
    }
    l->dev = o.a.dev;
    l->ino = o.a.ino;
    close_desc(&o.a);
    return 0;
}

/* 1: one length byte, then the text. */
static int set_description(peer_lock *l, const char *text)
{
    size_t n = text == NULL ? 0 : strlen(text);
    if (n > 63 || (n > 0 && !is_utf8((const uint8_t *)text, n)))
        return PEER_BAD_OPTION;
    memset(l->description, 0, sizeof l->description);
    l->description[0] = (uint8_t)n;
    if (n > 0)
        memcpy(l->description + 1, text, n);
    l->record_changed = true;
    return 0;
}

/* 7: the path of a name. */
static int make_path(const char *dir, const char *name, char **path)
{
    size_t n = strlen(name);
    if (n < 1 || n > 241 || strchr(name, '/') != NULL || strcmp(name, ".") == 0
        || strcmp(name, "..") == 0 || !is_utf8((const uint8_t *)name, n))
        return PEER_BAD_NAME;
    return asprintf(path, "%s/%s.shmlock", dir, name) < 0 ? ENOMEM : 0;
}

int peer_open(peer_lock **out, const char *dir, const char *name, const struct peer_options *o)
{
    static const struct peer_options none;
    char *path = NULL;
    if (o == NULL)
        o = &none;
    mode_t mode = o->mode == 0 ? 0600 : o->mode;
    if ((mode & ~(mode_t)066) != 0600 || (mode & 060) % 060 != 0 || (mode & 06) % 06 != 0)
        return PEER_BAD_OPTION;
    int e = make_path(dir, name, &path);
    if (e != 0)
        return e;
    peer_lock *l = calloc(1, sizeof *l);
    if (l == NULL || (l->dir = strdup(dir)) == NULL) {
        free(l);
        free(path);
        return ENOMEM;
    }
    l->path = path;
    l->mode = mode;
    l->plain = o->plain;
    l->interval = (o->interval_ms == 0 ? 50 : o->interval_ms) * MS;
    l->trusted = o->trusted;
    l->trusted_count = o->trusted_count;
    l->process = this_process();
    e = l->process == 0 ? ENOMEM : set_description(l, o->description);
    if (e == 0)
        e = random_bytes(l->uuid, sizeof l->uuid);
    l->uuid[6] = (uint8_t)((l->uuid[6] & 0x0f) | 0x40);
    l->uuid[8] = (uint8_t)((l->uuid[8] & 0x3f) | 0x80);
    int64_t deadline = now_ns() + (o->open_timeout_ms == 0 ? 5000 : o->open_timeout_ms) * MS;
    while (e == 0) {
        e = open_once(l);
        if (e != BEGIN_AGAIN)
            break;
        e = now_ns() >= deadline ? PEER_OPEN_TIMED_OUT : 0;
        pause_ns(MS / 10);
    }
    if (e != 0) {
        free_handle(l);
        return e;
    }
    *out = l;
    return 0;
}

/* ---- The record (6) ---- */

static void write_record(peer_lock *l)
{
    struct stat s;
    struct timespec t;
    uint32_t words[REGION_WORDS] = {0};
    memcpy(&words[UUID], l->uuid, sizeof l->uuid);
    words[PID] = (uint32_t)getpid();
    words[PID_NAMESPACE] = stat("/proc/self/ns/pid", &s) == 0 ? (uint32_t)s.st_ino : 0;
    clock_gettime(CLOCK_BOOTTIME, &t);
    words[SINCE] = (uint32_t)t.tv_sec;
    words[SINCE + 1] = (uint32_t)((uint64_t)t.tv_sec >> 32);
    words[RECORD_TOKEN] = l->token;
    memcpy(&words[DESCRIPTION], l->description, sizeof l->description);
    store(l, SEQUENCE, (load(l, SEQUENCE) + 1) | 1);
    release_fence();
    for (int i = UUID; i < REGION_WORDS; i++)
        if (i != GENERATION_HIGH && i != SEQUENCE && i != CONTENDED)
            store(l, i, words[i]);
    release_fence();
    store(l, SEQUENCE, load(l, SEQUENCE) + 1);
    l->record_changed = false;
}

int peer_describe(peer_lock *l, const char *text) { return set_description(l, text); }
uint32_t peer_token(const peer_lock *l) { return l->token; }

/* ---- Waiting (4, 12) ---- */

/* 12, Look at the link count: true if the file was removed under the handle. */
static bool was_removed(const peer_lock *l)
{
    struct stat s, d;
    if (is_itself(&l->b))
        return fstat(l->b.fd, &s) == 0 && s.st_nlink == 0;
    bool gone = lstat(l->path, &s) != 0 ? errno == ENOENT
                                        : s.st_dev != l->dev || s.st_ino != l->ino;
    return gone && stat(l->dir, &d) == 0 && d.st_dev == l->dev;
}

/* 12: the byte of the waiter that probes more often. */
static void stop_watching(peer_lock *l)
{
    if (l->watching && is_itself(&l->b))
        lock_byte(&l->b, F_UNLCK, BYTE_WATCH);
    l->watching = false;
}

/* 12: the length of the next sleep. */
static int64_t next_sleep(peer_lock *l, bool first, bool moved, int64_t waited)
{
    int64_t ns = l->interval;
    if (moved)
        stop_watching(l);
    if (first)
        ns = l->interval / 5 > 10 * MS ? l->interval / 5 : 10 * MS;
    else if (!moved) {
        if (!l->watching)
            l->watching = is_itself(&l->b) && lock_byte(&l->b, F_WRLCK, BYTE_WATCH) == 0;
        if (l->watching) {
            ns = l->interval / 50 > MS ? l->interval / 50 : MS;
            ns = waited / 8000 > ns ? waited / 8000 : ns;
        }
    }
    return ns < l->interval ? ns : l->interval;
}

/* 4: the duty of a waiter that has marked, and stops. */
static void stop_waiting(peer_lock *l)
{
    for (;;) {
        uint32_t w = load(l, OWNER);
        if ((w & TOKEN) == 0) {
            wake_one(l);
            return;
        }
        if ((w & WAITERS) != 0 || cas(l, OWNER, w, w | WAITERS))
            return;
    }
}

/* 4, Acquire, steps 3 and 4: the count and the record. */
static uint64_t count_and_describe(peer_lock *l, bool found_held)
{
    uint32_t low = load(l, GENERATION) + 1, high = load(l, GENERATION_HIGH);
    if (low == 0) {
        store(l, GENERATION_HIGH, ++high);
        release_fence();
    }
    store(l, GENERATION, low);
    if (found_held)
        store(l, CONTENDED, load(l, CONTENDED) + 1);
    if (load(l, RECORD_TOKEN) != l->token || (load(l, SEQUENCE) & 1) != 0 || l->record_changed)
        write_record(l);
    return (uint64_t)high << 32 | low;
}

/* 4, Acquire, steps 1 and 2, with 12. *died: D was found, or a dead owner replaced. */
static int wait_and_take(peer_lock *l, int64_t timeout, bool *found_held, bool *recovered,
                         bool *died)
{
    int64_t start = now_ns(), probed = start;
    int64_t deadline = timeout < 0 || timeout > INT64_MAX - start ? INT64_MAX : start + timeout;
    uint32_t generation = load(l, GENERATION);
    bool marked = false, probe = true, slept = false;
    int e = 0;
    for (;;) {
        uint32_t w = load(l, OWNER), t = w & TOKEN;
        if (t == 0) {
            if (!cas(l, OWNER, w, l->token | w | (marked ? WAITERS : 0)))
                continue;
            acquire_fence();
            *died = (w & DIED) != 0;
            break;
        }
        *found_held = true;
        if (t == l->token) {
            if (!take_over(l, t))
                continue;
            count_recovery(l);
            *recovered = *died = true;
            break;
        }
        int64_t now = now_ns();
        if (probe) {
            probe = false;
            probed = now;
            if (replace_dead(l, t)) {
                *recovered = *died = true;
                break;
            }
            if ((load(l, OWNER) & TOKEN) != t)
                continue;
        }
        if (now >= deadline) {
            e = PEER_TIMED_OUT;
            break;
        }
        if ((w & WAITERS) == 0 && !cas(l, OWNER, w, w | WAITERS))
            continue;
        marked = true;
        uint32_t g = load(l, GENERATION);
        int64_t ns = next_sleep(l, !slept, g != generation, now - start);
        generation = g;
        slept = true;
        ns = ns < deadline - now ? ns : deadline - now;
        if (sleep_on_word(l, w | WAITERS, ns) != 0) {
            probe = true;
            if (was_removed(l)) {
                e = PEER_ORPHANED;
                break;
            }
        } else if (now_ns() - probed >= l->interval)
            probe = true;
    }
    stop_watching(l);
    if (e != 0 && marked)
        stop_waiting(l);
    return e;
}

int peer_acquire(peer_lock *l, int64_t timeout_ns, struct peer_taken *taken)
{
    bool found_held = false, recovered = false, died = false;
    uint32_t old;
    if (!is_ours(l))
        return PEER_FORKED;
    if (l->held)
        return PEER_ALREADY_HELD;
    int e = wait_and_take(l, timeout_ns, &found_held, &recovered, &died);
    if (e != 0)
        return e;
    if (recovered && was_removed(l)) {
        if (give_back(l, l->token, 0, DIED, &old) && (old & WAITERS) != 0)
            wake_one(l);
        return PEER_ORPHANED;
    }
    l->held = true;
    taken->recovered = recovered;
    taken->died = died;
    taken->fencing = count_and_describe(l, found_held);
    return 0;
}

/* 4, Release */
int peer_release(peer_lock *l)
{
    uint32_t old;
    if (!is_ours(l))
        return PEER_FORKED;
    if (!l->held)
        return PEER_NOT_HELD;
    l->held = false;
    if (!give_back(l, l->token, DIED, 0, &old))
        return PEER_OVERWRITTEN;
    if ((old & WAITERS) != 0)
        wake_one(l);
    return 0;
}

/* 4, pass on. The caller releases now and then. */
int peer_pass_on(peer_lock *l)
{
    uint32_t w;
    if (!is_ours(l))
        return PEER_FORKED;
    if (!l->held)
        return PEER_NOT_HELD;
    l->held = false;
    if (!give_back(l, l->token, WAITERS | DIED, 0, &w))
        return PEER_OVERWRITTEN;
    if ((w & WAITERS) == 0)
        return 0;
    for (int i = 0; i < 20; i++) {
        w = load(l, OWNER);
        if ((w & TOKEN) != 0 || (w & WAITERS) == 0)
            return 0;
        sched_yield();
    }
    for (;;) {
        w = load(l, OWNER);
        if ((w & TOKEN) != 0 || (w & WAITERS) == 0)
            return 0;
        if (cas(l, OWNER, w, w & ~WAITERS)) {
            wake_one(l);
            return 0;
        }
    }
}

/* 3, declare consistent */
int peer_declare_consistent(peer_lock *l)
{
    if (!is_ours(l))
        return PEER_FORKED;
    if (!l->held)
        return PEER_NOT_HELD;
    for (;;) {
        uint32_t w = load(l, OWNER);
        if ((w & TOKEN) != l->token)
            return PEER_OVERWRITTEN;
        if ((w & DIED) == 0 || cas(l, OWNER, w, w & ~DIED))
            return 0;
    }
}

/* ---- Looking (9, last paragraph; 6) ---- */

static int copy_region(int fd, uint32_t *words)
{
    ssize_t n;
    memset(words, 0, REGION_WORDS * 4);
    do
        n = pread(fd, words, REGION_WORDS * 4, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

/* 6: two copies in a row that agree from byte 16 on, but for `contended`. */
static int read_record(int fd, struct peer_look *out)
{
    uint32_t one[REGION_WORDS], two[REGION_WORDS];
    int e = copy_region(fd, one), tries;
    bool agree = false;
    for (tries = 0; e == 0 && !agree && tries < 1000; tries++) {
        acquire_fence();
        if ((e = copy_region(fd, two)) != 0)
            break;
        one[CONTENDED] = two[CONTENDED];
        agree = memcmp(one + UUID, two + UUID, sizeof one - UUID * 4) == 0;
        memcpy(one, two, sizeof one);
    }
    if (e != 0)
        return e;
    if (one[MAGIC] != 0 && (e = judge_magic(one[MAGIC])) != 0)
        return e;
    out->owner = one[OWNER];
    out->recoveries = one[RECOVERIES];
    out->contended = one[CONTENDED];
    out->described = agree && (one[SEQUENCE] & 1) == 0 && one[RECORD_TOKEN] != 0
                     && one[RECORD_TOKEN] == (one[OWNER] & TOKEN);
    memcpy(out->uuid, &one[UUID], 16);
    out->pid = one[PID];
    out->pid_namespace = one[PID_NAMESPACE];
    out->since = (uint64_t)one[SINCE + 1] << 32 | one[SINCE];
    const uint8_t *d = (const uint8_t *)&one[DESCRIPTION];
    if (d[0] <= 63 && is_utf8(d + 1, d[0]))
        memcpy(out->description, d + 1, d[0]);
    return 0;
}

/* 4: high, low, high. After 16 tries the high half and 0. */
static int read_generation(int fd, uint64_t *generation)
{
    uint32_t before, low, after = 0;
    int e;
    for (int i = 0; i < 16; i++) {
        if ((e = pread_word(fd, GENERATION_HIGH, &before)) != 0
            || (e = pread_word(fd, GENERATION, &low)) != 0
            || (e = pread_word(fd, GENERATION_HIGH, &after)) != 0)
            return e;
        *generation = (uint64_t)after << 32 | low;
        if (before == after)
            return 0;
    }
    *generation = (uint64_t)after << 32;
    return 0;
}

static int look_through(struct desc *d, struct peer_look *out)
{
    struct stat s;
    uint32_t again;
    if (fstat(d->fd, &s) != 0)
        return errno;
    if (!S_ISREG(s.st_mode))
        return PEER_NOT_A_FILE;
    d->dev = s.st_dev;
    d->ino = s.st_ino;
    int e = judge_size(d->fd, s.st_size);
    if (e == 0)
        e = set_mark(d, false);
    if (e == 0)
        e = read_record(d->fd, out);
    if (e == 0)
        e = read_generation(d->fd, &out->generation);
    if (e != 0)
        return e;
    uint32_t t = out->owner & TOKEN;
    out->alive = -1;
    if (t < FIRST_LIVING)
        return 0;
    enum look k = look_at_byte(d, BYTE_PRESENT + (off_t)t, NULL);
    if (!is_itself(d) || k == LOOK_ERROR)
        return 0;
    if (k == LOOK_LOCKED)
        out->alive = 1;
    else if (pread_word(d->fd, OWNER, &again) == 0 && (again & TOKEN) == t)
        out->alive = 0;
    return 0;
}

int peer_look(const char *dir, const char *name, struct peer_look *out)
{
    char *path = NULL;
    memset(out, 0, sizeof *out);
    int e = make_path(dir, name, &path);
    if (e != 0)
        return e;
    struct desc d = {.fd = open_path(path, O_RDONLY | OPEN_FLAGS, 0)};
    e = d.fd >= 0 ? look_through(&d, out)
        : errno == ELOOP || errno == ENXIO ? PEER_NOT_A_FILE : errno;
    close_desc(&d);
    free(path);
    return e;
}

const char *peer_message(int result)
{
    static const char *const text[] = {
        "done", "no lock can have this name", "this mode or description is not allowed",
        "refused: not a regular file", "refused: the owner of the file is not trusted",
        "refused: the file is wider open than configured",
        "refused: a mounted file without a name", "refused: no lock has this size",
        "refused: no lock", "refused: another version of the layout",
        "refused: an untouched file with two names", "refused: truncated meanwhile",
        "the opening timed out", "byte locks are not supported here", "timed out",
        "the file was removed", "the word was overwritten", "not held", "already held",
        "the handle belongs to another process",
    };
    if (result > 0)
        return strerror(result);
    return result < PEER_FORKED ? "unknown" : text[-result];
}
