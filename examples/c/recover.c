/*
 A process dies while it holds the lock. Another process proves the death and recovers the lock.
 Expected output:

     before the death is proven:
       another contender holds the lock; wait longer or try again
     held by 2: "calibrating"
     recovered, fencing token 2:
       the lock is held, but an owner died holding it; check the data, declare it consistent
     the next acquisition:
       done
 */

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock_core.h>

enum { PARENT = 1, CHILD = 2, LEN = SHMLOCK_CORE_REGION_LEN, SCOPE = SHMLOCK_CORE_INNER_SHAREABLE };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void check(shmlock_core_status status)
{
    if (status < 0) {
        fprintf(stderr, "recover: %s\n", shmlock_core_message(status));
        exit(1);
    }
}

static void print(const char *what, shmlock_core_status status)
{
    printf("%s:\n  %s\n", what, shmlock_core_message(status));
}

/* Acquires the lock with a record that gives the reason, and does not return. */
static void hold_until_killed(void *region, int ready)
{
    static shmlock_core_t lock;
    shmlock_core_record record = {.pid = (uint32_t)getpid()};
    strcpy(record.description, "calibrating");
    check(shmlock_core_attach(&lock, region, LEN, CHILD, SCOPE));
    check(shmlock_core_set_record(&lock, &record));
    check(shmlock_core_try_acquire(&lock));
    if (write(ready, "", 1) != 1)
        fail("write");
    for (;;)
        pause();
}

int main(void)
{
    void *region = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2];
    if (region == MAP_FAILED || pipe(ready) != 0)
        fail("setup");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        hold_until_killed(region, ready[1]);
    char byte;
    if (read(ready[0], &byte, 1) != 1)
        fail("read");

    static shmlock_core_t lock;
    check(shmlock_core_attach(&lock, region, LEN, PARENT, SCOPE));
    kill(child, SIGKILL);
    print("before the death is proven", shmlock_core_acquire(&lock, 1000, NULL, NULL));

    shmlock_core_holder holder;
    check(shmlock_core_inspect(region, LEN, SCOPE, &holder));
    printf("held by %u: \"%s\"\n", (unsigned)holder.token, holder.record.description);
    if (holder.record.pid != (uint32_t)child || holder.token != CHILD)
        return 1;

    /* The proof: the kernel reports the end of the process, and its token is not used again. */
    if (waitpid(child, NULL, 0) != child)
        fail("waitpid");
    shmlock_core_status status = shmlock_core_take_over(&lock, holder.token);
    uint64_t fencing_token = 0;
    check(shmlock_core_fencing_token(&lock, &fencing_token));
    char what[64];
    snprintf(what, sizeof what, "recovered, fencing token %llu", (unsigned long long)fencing_token);
    print(what, status);

    /* A program checks and repairs its data here. */
    check(shmlock_core_declare_consistent(&lock));
    check(shmlock_core_release(&lock));
    print("the next acquisition", shmlock_core_try_acquire(&lock));
    check(shmlock_core_detach(&lock));
    return 0;
}
