/*
 A ticket lock, for memory on which compare-and-swap does not work between the parties: two parties
 count, then one dies in its critical section, and its supervisor buries it. Processes stand for the
 cores. Expected output:

     two parties: 200000 counted
     before the burial:
       another contender holds the lock; wait longer or try again
     while the party lives:
       the death of the party is not proven; nothing was changed
     the burial:
       done
     the next owner:
       the lock is held, but an owner died holding it; check the data, declare it consistent
     the owner after that:
       done
 */

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock_core.h>

enum { PARTIES = 3, SUPERVISOR = 3, INCREMENTS = 100 * 1000 };
enum { LEN = SHMLOCK_CORE_REGION_LEN + PARTIES * SHMLOCK_CORE_TICKET_LINE_LEN };

/* All zero is a free lock and a count of zero. */
struct shared {
    _Alignas(64) unsigned char lock[LEN];
    uint32_t counter;
};

static struct shared *shared;
static shmlock_core_ticket_t lock; /* one for each party, initially zero */

static shmlock_core_status check(shmlock_core_status status)
{
    if (status < 0) {
        fprintf(stderr, "ticket: %s\n", shmlock_core_message(status));
        exit(1);
    }
    return status;
}

static void print(const char *what, shmlock_core_status status)
{
    printf("%s:\n  %s\n", what, shmlock_core_message(status));
}

/* Firmware attaches at boot, with SHMLOCK_CORE_FULL_SYSTEM. */
static void start(uint32_t party)
{
    check(shmlock_core_ticket_attach(&lock, shared->lock, LEN, PARTIES, party,
                                     SHMLOCK_CORE_INNER_SHAREABLE));
    check(shmlock_core_ticket_begin_life(&lock));
}

/* Firmware waits for an interrupt here, or spins. */
static int32_t let_others_run(void *context, shmlock_core_wait_context *contention)
{
    (void)context;
    (void)contention;
    sched_yield();
    return 0;
}

static pid_t fork_party(uint32_t party)
{
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child == 0)
        start(party);
    return child;
}

static void count(void)
{
    for (int done = 0; done < INCREMENTS; done++) {
        while (shmlock_core_ticket_acquire(&lock, 1000, let_others_run, NULL) ==
               SHMLOCK_CORE_STATUS_BUSY)
            ;
        shared->counter++;
        check(shmlock_core_ticket_release(&lock));
    }
    _exit(0);
}

/* The proof: the process has been waited for. Firmware reads the reset line of the core. */
static bool has_ended(void *context, uint32_t party)
{
    (void)party;
    return waitpid(*(pid_t *)context, NULL, WNOHANG) > 0;
}

static shmlock_core_status bury(uint32_t party, pid_t process)
{
    return shmlock_core_ticket_bury(shared->lock, LEN, PARTIES, party, has_ended, &process);
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int inside[2];
    if (shared == MAP_FAILED || pipe(inside) != 0) {
        perror("ticket");
        return 1;
    }
    for (uint32_t party = 1; party <= 2; party++)
        if (fork_party(party) == 0)
            count();
    while (wait(NULL) > 0)
        ;
    printf("two parties: %u counted\n", (unsigned)shared->counter);
    fflush(stdout); /* before the next child copies it */

    pid_t dies = fork_party(2);
    if (dies == 0) {
        check(shmlock_core_ticket_try_acquire(&lock));
        if (write(inside[1], "", 1) != 1)
            exit(1);
        for (;;)
            pause();
    }
    char byte;
    if (read(inside[0], &byte, 1) != 1)
        return 1;
    start(SUPERVISOR);
    print("before the burial", shmlock_core_ticket_try_acquire(&lock));
    print("while the party lives", bury(2, dies));
    kill(dies, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)dies, &info, WEXITED | WNOWAIT); /* it has ended; `has_ended` sees it */
    print("the burial", bury(2, dies));

    print("the next owner", shmlock_core_ticket_try_acquire(&lock));
    check(shmlock_core_ticket_declare_consistent(&lock)); /* after a look at the data */
    check(shmlock_core_ticket_release(&lock));
    print("the owner after that", shmlock_core_ticket_try_acquire(&lock));
    check(shmlock_core_ticket_detach(&lock));
    return 0;
}
