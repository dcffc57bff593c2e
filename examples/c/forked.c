/*
 What becomes of a handle in a forked child, with a fork generation and without. Expected output:

     the child releases: the handle is from before a fork and is the parent's; attach one under a token of its own in the child
     the child acquires: the handle is from before a fork and is the parent's; attach one under a token of its own in the child
     the child detaches: the handle is from before a fork and is the parent's; attach one under a token of its own in the child
     the child acquires under its own token: somebody else holds the lock; wait longer or try again
     the parent releases: done
     without a fork generation the child releases: done
     without a fork generation the parent acquires again: the owner word was overwritten while we held the lock; find who else writes to the region
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "region.h"

enum { PARENT = 1, CHILD = 2 };

/* Has another value in each child than in its parent. */
static uint32_t generation;

static void in_the_child(void)
{
    generation++;
}

static shmlock_core_t lock;
static struct shared *shared;

/* What the child does with its copy of the handle, and with one of its own. */
static void child(void)
{
    printf("the child releases: %s\n", shmlock_core_message(shmlock_core_release(&lock)));
    printf("the child acquires: %s\n", shmlock_core_message(shmlock_core_try_acquire(&lock)));
    printf("the child detaches: %s\n", shmlock_core_message(shmlock_core_detach(&lock)));
    if (shmlock_core_is_held(&lock))
        exit(1);
    /* The same variable, which is the child's own since the fork, or another one. */
    succeeds("shmlock_core_attach", shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, CHILD, SHMLOCK_CORE_INNER_SHAREABLE));
    succeeds("shmlock_core_set_fork_generation", shmlock_core_set_fork_generation(&lock, &generation));
    printf("the child acquires under its own token: %s\n", shmlock_core_message(shmlock_core_try_acquire(&lock)));
}

/* The mistake: nothing tells the handle that it is the parent's. */
static void careless_child(void)
{
    printf("without a fork generation the child releases: %s\n", shmlock_core_message(shmlock_core_release(&lock)));
}

/* Runs `act` in a child, to its end. */
static void forked(void (*act)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        act();
        exit(0);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        exit(1);
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pthread_atfork(NULL, NULL, in_the_child) != 0)
        fail("setup");

    succeeds("shmlock_core_attach", shmlock_core_attach(&lock, shared->lock, sizeof shared->lock, PARENT, SHMLOCK_CORE_INNER_SHAREABLE));
    succeeds("shmlock_core_set_fork_generation", shmlock_core_set_fork_generation(&lock, &generation));
    succeeds("shmlock_core_try_acquire", shmlock_core_try_acquire(&lock));
    forked(child);
    if (!shmlock_core_is_held(&lock))
        return 1;
    printf("the parent releases: %s\n", shmlock_core_message(shmlock_core_release(&lock)));

    succeeds("shmlock_core_set_fork_generation", shmlock_core_set_fork_generation(&lock, NULL));
    succeeds("shmlock_core_try_acquire", shmlock_core_try_acquire(&lock));
    forked(careless_child);
    if (shmlock_core_is_held(&lock))
        return 1;
    printf("without a fork generation the parent acquires again: %s\n", shmlock_core_message(shmlock_core_try_acquire(&lock)));
    return 0;
}
