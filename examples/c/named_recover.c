/*
 A process is killed while it holds the lock. The next owner is told, and repairs the data.
 Expected output:

     not free: the holder is the child
     acquired, and an owner died: the child, "moving 30"
     repaired and declared consistent
     the next acquisition: done
 */

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "named_recover: %s: %s\n", what, why);
    exit(1);
}

static char name[64];

/* Acquires the lock with a reason that others can read, and does not return. */
static void hold_until_killed(int ready)
{
    static shmlock_t lock = SHMLOCK_INIT;
    shmlock_options options = SHMLOCK_OPTIONS_INIT;
    shmlock_error error;
    options.description = "moving 30";
    if (shmlock_open(&lock, name, &options, &error) < 0 || shmlock_lock(&lock, &error) < 0)
        fail("the child", error.text);
    if (write(ready, "", 1) != 1)
        fail("the child", "write");
    for (;;)
        pause();
}

int main(void)
{
    int ready[2];
    char byte;
    snprintf(name, sizeof name, "shmlock-recover-c-%ld", (long)getpid());
    if (pipe(ready) != 0)
        fail("pipe", "no descriptors");
    pid_t child = fork(); /* before the lock is opened: a child opens its own handle */
    if (child < 0)
        fail("fork", "no process");
    if (child == 0)
        hold_until_killed(ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        fail("the child", "it has ended");

    static shmlock_t lock = SHMLOCK_INIT;
    shmlock_error error;
    if (shmlock_open(&lock, name, NULL, &error) < 0)
        fail("open", error.text);
    if (shmlock_try(&lock, &error) != SHMLOCK_STATUS_BUSY)
        fail("try", "the child holds it");
    printf("not free: the holder is %s\n",
           error.holder_pid == (uint32_t)child ? "the child" : "unknown");
    kill(child, SIGKILL);

    /* An ordinary lock call recovers the lock, once the kernel proves that the owner is gone. */
    shmlock_status status = shmlock_lock(&lock, &error);
    if (status != SHMLOCK_STATUS_OWNER_DIED)
        fail("lock", status < 0 ? error.text : "no death was reported");
    shmlock_holder dead;
    if (shmlock_recovered(&lock, &dead, &error) != SHMLOCK_STATUS_OK)
        fail("recovered", "nothing");
    printf("acquired, and an owner died: %s, \"%s\"\n",
           dead.pid == (uint32_t)child ? "the child" : "unknown", dead.description);
    if (shmlock_declare_consistent(&lock, &error) < 0 || shmlock_release(&lock, &error) < 0)
        fail("release", error.text);
    printf("repaired and declared consistent\n");
    printf("the next acquisition: %s\n", shmlock_message(shmlock_lock(&lock, NULL)));
    waitpid(child, NULL, 0);
    return shmlock_close(&lock, NULL) < 0;
}
