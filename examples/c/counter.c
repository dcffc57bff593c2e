/*
 Increments a counter in a mapped file, under a lock in the same file:

     counter FILE TOKEN INCREMENTS [--no-lock]

 Start several at once, each with a token of its own, and as many of the Rust example `mapped_region`, which takes the same
 arguments: the counter ends at the sum. With --no-lock it does not, which is the proof that the lock is needed.
 It says nothing itself: the counter is the word behind the lock, `od -A n -t u4 -j 128 -N 4 FILE` shows it.
 */

#define _GNU_SOURCE
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "region.h"

/* futex(2) takes the time in the width of the C library's time_t, by one of two calls where there are two widths. */
static long futex(const void *word, int operation, uint32_t value, const struct timespec *timeout)
{
#ifdef SYS_futex_time64
    if (sizeof(timeout->tv_sec) > sizeof(long))
        return syscall(SYS_futex_time64, word, operation, value, timeout, NULL, 0);
#endif
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

/* The longest that a waiter sleeps before it looks again: nobody may wake it, for example if the owner was killed. */
static const struct timespec interval = {.tv_nsec = 20 * 1000 * 1000};

/*
 A way of waiting: looks a few times, then sleeps in the kernel until the owner wakes it. Firmware would wait for an
 interrupt here, or for a notification to its task.
 */
static int32_t wait_for_it(void *context, shmlock_core_wait_context *contention)
{
    (void)context;
    uint32_t marked;
    if (contention->attempt % 64 != 63 || shmlock_core_mark_waiting(contention, &marked) != SHMLOCK_CORE_STATUS_OK)
        return 0;
    /* Sleeps only as long as the word has the marked value. A wake, a signal, a timeout: all mean "look again". */
    futex(contention->word, FUTEX_WAIT, marked, &interval);
    return 0;
}

static void release(shmlock_core_t *lock, struct shared *shared)
{
    succeeds("shmlock_core_release", shmlock_core_release(lock));
    if (shmlock_core_owes_wake(lock))
        futex(shared->lock, FUTEX_WAKE, 1, NULL);
}

/* Two accesses on purpose: the lock makes them one. */
static void increment(struct shared *shared)
{
    uint32_t count = atomic_load_explicit(&shared->counter, memory_order_relaxed);
    atomic_store_explicit(&shared->counter, count + 1, memory_order_relaxed);
}

int main(int argc, char **argv)
{
    int unlocked = argc == 5 && strcmp(argv[4], "--no-lock") == 0;
    if (argc != 4 && !unlocked) {
        fprintf(stderr, "usage: %s FILE TOKEN INCREMENTS [--no-lock]\n", argv[0]);
        return 2;
    }
    struct shared *shared = map_shared(argv[1]);
    unsigned long token = strtoul(argv[2], NULL, 10);
    unsigned long increments = strtoul(argv[3], NULL, 10);
    if (token < 1 || token > SHMLOCK_CORE_TOKEN_MAX) {
        fprintf(stderr, "a token is a number from 1 to %d\n", SHMLOCK_CORE_TOKEN_MAX);
        return 2;
    }

    static shmlock_core_t lock;
    succeeds("shmlock_core_attach", shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, (uint32_t)token,
                                              SHMLOCK_CORE_INNER_SHAREABLE));
    for (unsigned long done = 0; done < increments; done++) {
        if (unlocked) {
            increment(shared);
            continue;
        }
        shmlock_core_status status;
        do
            status = shmlock_core_acquire(&lock, 1000 * 1000, wait_for_it, NULL);
        while (status == SHMLOCK_CORE_STATUS_BUSY);
        if (succeeds("shmlock_core_acquire", status) == SHMLOCK_CORE_STATUS_OWNER_DIED)
            fprintf(stderr, "an owner died; its last increment may be missing\n");
        increment(shared);
        release(&lock, shared);
    }
    succeeds("shmlock_core_detach", shmlock_core_detach(&lock));
    return 0;
}
