/*
 A ticket lock, for memory on which compare-and-swap does not work between the parties: two parties
 count, then one dies in its critical section. Its supervisor acquires the lock by its proof of the
 death, repairs the data, and buries the dead party for those that have no proof. Processes stand
 for the cores. Expected output:

     two parties: 200000 counted
     the supervisor, while the owner lives:
       another contender holds the lock; wait longer or try again
     party 2 died: motor control
     the supervisor, after its death:
       the lock is held, but an owner died holding it; check the data, declare it consistent
     party 1, without a proof:
       another contender holds the lock; wait longer or try again
     the burial:
       done
     party 1, after it:
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

enum { PARTIES = 3, WORKER = 2, SUPERVISOR = 3, INCREMENTS = 100 * 1000 };
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

/* Party 2 describes itself, and never leaves its critical section. */
static void hold_for_ever(int inside)
{
    shmlock_core_record record = {.description = "motor control"};
    check(shmlock_core_ticket_set_record(&lock, &record));
    check(shmlock_core_ticket_try_acquire(&lock));
    if (write(inside, "", 1) != 1)
        exit(1);
    for (;;)
        pause();
}

/* The proof: the process has ended. It has not been waited for, so the number is still its own.
   Firmware reads the reset line of the core. */
static bool has_ended(void *worker, uint32_t party)
{
    siginfo_t info = {0};
    return party == WORKER &&
           waitid(P_PID, (id_t) * (pid_t *)worker, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid != 0; /* otherwise it lives, or this process cannot tell */
}

/* The same proof, for the acquisition. Until that has the lock, the record is the dead owner's. */
static bool report_end(void *worker, uint32_t party)
{
    shmlock_core_holder holder;
    if (!has_ended(worker, party))
        return false;
    check(shmlock_core_ticket_inspect(shared->lock, LEN, PARTIES, &holder));
    if (holder.token == party && holder.recorded)
        printf("party %u died: %s\n", (unsigned)party, holder.record.description);
    return true;
}

static shmlock_core_status acquire_or_recover(pid_t worker)
{
    return shmlock_core_ticket_acquire_or_recover(&lock, report_end, &worker, 100,
                                                  let_others_run, NULL);
}

/* Tries to acquire the lock as party 1, in a process of its own. */
static void try_as_party_1(const char *what)
{
    fflush(stdout); /* before the child copies it */
    pid_t child = fork_party(1);
    if (child == 0) {
        print(what, shmlock_core_ticket_try_acquire(&lock));
        check(shmlock_core_ticket_detach(&lock));
        exit(0);
    }
    int ended;
    if (waitpid(child, &ended, 0) != child || ended != 0)
        exit(1);
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
    fflush(stdout);

    pid_t worker = fork_party(WORKER);
    if (worker == 0)
        hold_for_ever(inside[1]);
    char byte;
    if (read(inside[0], &byte, 1) != 1)
        return 1;
    start(SUPERVISOR);
    print("the supervisor, while the owner lives", acquire_or_recover(worker));
    kill(worker, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)worker, &info, WEXITED | WNOWAIT); /* it has ended; `has_ended` sees it */
    print("the supervisor, after its death", acquire_or_recover(worker));
    check(shmlock_core_ticket_declare_consistent(&lock)); /* after a look at the data */
    check(shmlock_core_ticket_release(&lock));

    try_as_party_1("party 1, without a proof");
    print("the burial", shmlock_core_ticket_bury(shared->lock, LEN, PARTIES, WORKER, has_ended,
                                                 &worker));
    try_as_party_1("party 1, after it");
    check(shmlock_core_ticket_detach(&lock));
    return 0;
}
