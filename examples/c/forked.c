/*
 Uses a handle in a forked child, with a fork generation and without. Expected output:

     the child releases:
       the handle belongs to the parent process; attach one with its own token in the child
     the child acquires:
       the handle belongs to the parent process; attach one with its own token in the child
     the child detaches:
       the handle belongs to the parent process; attach one with its own token in the child
     the child acquires with its own token:
       another contender holds the lock; wait longer or try again
     the parent releases:
       done
     without a fork generation, the child releases:
       done
     without a fork generation, the parent acquires again:
       the owner word was overwritten during a hold; find what else writes to the region
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock_core.h>

enum { PARENT = 1, CHILD = 2, LEN = SHMLOCK_CORE_REGION_LEN, SCOPE = SHMLOCK_CORE_INNER_SHAREABLE };

static shmlock_core_t lock;
static void *region;

/* Differs in each child from its value in the parent. */
static uint32_t generation;

static void increment_generation(void)
{
    generation++;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void check(shmlock_core_status status)
{
    if (status < 0) {
        fprintf(stderr, "forked: %s\n", shmlock_core_message(status));
        exit(1);
    }
}

static void print(const char *what, shmlock_core_status status)
{
    printf("%s:\n  %s\n", what, shmlock_core_message(status));
}

/* Uses the child's copy of the parent's handle, then a handle of the child's own. */
static void child(void)
{
    print("the child releases", shmlock_core_release(&lock));
    print("the child acquires", shmlock_core_try_acquire(&lock));
    print("the child detaches", shmlock_core_detach(&lock));
    if (shmlock_core_is_held(&lock))
        exit(1);
    /* The same variable, of which the child has its own copy; another one would do as well. */
    check(shmlock_core_attach(&lock, region, LEN, CHILD, SCOPE));
    check(shmlock_core_set_fork_generation(&lock, &generation));
    print("the child acquires with its own token", shmlock_core_try_acquire(&lock));
}

/* The mistake: the library cannot know that the handle is the parent's. */
static void careless_child(void)
{
    print("without a fork generation, the child releases", shmlock_core_release(&lock));
}

static void in_a_child(void (*act)(void))
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
    region = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED || pthread_atfork(NULL, NULL, increment_generation) != 0)
        fail("setup");

    check(shmlock_core_attach(&lock, region, LEN, PARENT, SCOPE));
    check(shmlock_core_set_fork_generation(&lock, &generation));
    check(shmlock_core_try_acquire(&lock));
    in_a_child(child);
    if (!shmlock_core_is_held(&lock))
        return 1;
    print("the parent releases", shmlock_core_release(&lock));

    check(shmlock_core_set_fork_generation(&lock, NULL));
    check(shmlock_core_try_acquire(&lock));
    in_a_child(careless_child);
    if (shmlock_core_is_held(&lock))
        return 1;
    print("without a fork generation, the parent acquires again", shmlock_core_try_acquire(&lock));
    return 0;
}
