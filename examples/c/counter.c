/*
 Increments a counter in a mapped file, under a lock in the same file:

     counter FILE TOKEN INCREMENTS [--no-lock]

 Start several at once, each with its own token, together with the Rust example `mapped_region`,
 which takes the same arguments: the counter ends at the sum. With --no-lock, increments are lost:
 the proof that the lock is needed. The counter is the word behind the lock:
 `od -A n -t u4 -j 128 -N 4 FILE`.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <shmlock_core.h>

/* All zero is a free lock and a count of zero: the file needs no initialisation. */
struct shared {
    unsigned char lock[SHMLOCK_CORE_REGION_LEN];
    /* Atomic, so that --no-lock loses counts instead of being undefined behaviour. */
    _Atomic uint32_t counter;
    unsigned char rest[60];
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static shmlock_core_status check(shmlock_core_status status)
{
    if (status < 0) {
        fprintf(stderr, "counter: %s\n", shmlock_core_message(status));
        exit(1);
    }
    return status;
}

static struct shared *map_shared(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        fail(path);
    /* Never truncate a file that other processes map: an access beyond its end raises SIGBUS. */
    off_t size = sizeof(struct shared);
    if (status.st_size < size && ftruncate(file, size) != 0)
        fail(path);
    void *address = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (address == MAP_FAILED)
        fail(path);
    close(file);
    return address;
}

/* futex(2) takes the time in the width of time_t. With two widths there are two calls. */
static long futex(const void *word, int operation, uint32_t value, const struct timespec *timeout)
{
#ifdef SYS_futex_time64
    if (sizeof(timeout->tv_sec) > sizeof(long))
        return syscall(SYS_futex_time64, word, operation, value, timeout, NULL, 0);
#endif
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

/*
 Retries some times, then sleeps until the owner's wake. Firmware waits for an interrupt here, or
 for a notification to its task. The sleep is bounded, because a killed owner sends no wake.
 */
static int32_t wait_for_it(void *context, shmlock_core_wait_context *contention)
{
    static const struct timespec interval = {.tv_nsec = 20 * 1000 * 1000};
    (void)context;
    uint32_t value;
    if (contention->attempt % 64 != 63 ||
        shmlock_core_set_waiters(contention, &value) != SHMLOCK_CORE_STATUS_OK)
        return 0;
    /* Sleeps only while the word has this value. After a wake, a signal or a timeout: retry. */
    futex(contention->word, FUTEX_WAIT, value, &interval);
    return 0;
}

/* Two accesses on purpose: the lock makes them one. */
static void increment(struct shared *shared)
{
    uint32_t count = atomic_load_explicit(&shared->counter, memory_order_relaxed);
    atomic_store_explicit(&shared->counter, count + 1, memory_order_relaxed);
}

static void locked_increment(shmlock_core_t *lock, struct shared *shared)
{
    shmlock_core_status status;
    do
        status = shmlock_core_acquire(lock, 1000 * 1000, wait_for_it, NULL);
    while (status == SHMLOCK_CORE_STATUS_BUSY);
    if (check(status) == SHMLOCK_CORE_STATUS_OWNER_DIED)
        fprintf(stderr, "counter: an owner died; its last increment may be missing\n");
    increment(shared);
    check(shmlock_core_release(lock));
    if (shmlock_core_owes_wake(lock))
        futex(shared->lock, FUTEX_WAKE, 1, NULL);
}

int main(int argc, char **argv)
{
    int unlocked = argc == 5 && strcmp(argv[4], "--no-lock") == 0;
    unsigned long token = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    if ((argc != 4 && !unlocked) || token < 1 || token > SHMLOCK_CORE_TOKEN_MAX) {
        fprintf(stderr, "usage: %s FILE TOKEN INCREMENTS [--no-lock]\n", argv[0]);
        fprintf(stderr, "TOKEN is a number from 1 to %d\n", SHMLOCK_CORE_TOKEN_MAX);
        return 2;
    }
    struct shared *shared = map_shared(argv[1]);
    unsigned long increments = strtoul(argv[3], NULL, 10);

    static shmlock_core_t lock;
    check(shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, (uint32_t)token,
                              SHMLOCK_CORE_INNER_SHAREABLE));
    for (unsigned long done = 0; done < increments; done++) {
        if (unlocked)
            increment(shared);
        else
            locked_increment(&lock, shared);
    }
    check(shmlock_core_detach(&lock));
    return 0;
}
