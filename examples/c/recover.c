/*
 A process dies while it holds the lock; another, which can prove the death, takes over. Expected output:

     nothing is known of the death yet: somebody else holds the lock; wait longer or try again
     held by 2: "calibrating"
     taken over, fencing token 2: the lock is held, and an owner died holding it; look at the data, then declare it consistent
     the next owner is told: done
 */

#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "region.h"

enum { PARENT = 1, CHILD = 2 };

/* Takes the lock, says why, and does not return. */
static void hold_until_killed(struct shared *shared, int ready)
{
    static shmlock_core_t lock;
    shmlock_core_record record = {.pid = (uint32_t)getpid()};
    strcpy(record.description, "calibrating");
    succeeds("shmlock_core_attach", shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, CHILD, SHMLOCK_CORE_INNER_SHAREABLE));
    succeeds("shmlock_core_set_record", shmlock_core_set_record(&lock, &record));
    succeeds("shmlock_core_try_acquire", shmlock_core_try_acquire(&lock));
    if (write(ready, "", 1) != 1)
        fail("write");
    for (;;)
        pause();
}

int main(void)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2];
    if (shared == MAP_FAILED || pipe(ready) != 0)
        fail("setup");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        hold_until_killed(shared, ready[1]);
    char byte;
    if (read(ready[0], &byte, 1) != 1)
        fail("read");

    static shmlock_core_t lock;
    succeeds("shmlock_core_attach", shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, PARENT, SHMLOCK_CORE_INNER_SHAREABLE));
    kill(child, SIGKILL);
    shmlock_core_status status = shmlock_core_acquire(&lock, 1000, NULL, NULL);
    printf("nothing is known of the death yet: %s\n", shmlock_core_message(status));

    shmlock_core_holder holder;
    succeeds("shmlock_core_inspect",
             shmlock_core_inspect(shared->lock, sizeof shared->lock, SHMLOCK_CORE_INNER_SHAREABLE, &holder));
    printf("held by %u: \"%s\"\n", (unsigned)holder.token, holder.record.description);
    if (holder.record.pid != (uint32_t)child || holder.token != CHILD)
        return 1;

    /* The proof: the kernel says that the process is gone. And we start nobody else under its token. */
    if (waitpid(child, NULL, 0) != child)
        fail("waitpid");
    status = succeeds("shmlock_core_take_over", shmlock_core_take_over(&lock, holder.token));
    uint64_t fencing_token = 0;
    succeeds("shmlock_core_fencing_token", shmlock_core_fencing_token(&lock, &fencing_token));
    printf("taken over, fencing token %llu: %s\n", (unsigned long long)fencing_token, shmlock_core_message(status));

    /* Here the data would be looked at, and mended. */
    succeeds("shmlock_core_declare_consistent", shmlock_core_declare_consistent(&lock));
    succeeds("shmlock_core_release", shmlock_core_release(&lock));
    printf("the next owner is told: %s\n", shmlock_core_message(shmlock_core_try_acquire(&lock)));
    succeeds("shmlock_core_detach", shmlock_core_detach(&lock));
    return 0;
}
