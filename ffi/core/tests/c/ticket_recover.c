/*
 Tests the recovery of a ticket lock by a proof, in C: each answer of the callback; garbage in all
 words but those of two parties; processes that are killed anywhere, beside one that has no proof.
 Prints what it has seen, and exits with 0; or prints the line of the check that failed.
 */

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock_core.h>

enum { PARTIES = 3, SUPERVISOR = 1, WORKER = 2, BYSTANDER = 3, WORD = 4 };
enum { LEN = SHMLOCK_CORE_REGION_LEN + PARTIES * SHMLOCK_CORE_TICKET_LINE_LEN };
enum { ROUNDS = 300, GARBAGE_ROUNDS = 20000, WAITS = 9, WATCHDOG_SECONDS = 120 };
enum { OK = SHMLOCK_CORE_STATUS_OK, DIED = SHMLOCK_CORE_STATUS_OWNER_DIED };
enum { BUSY = SHMLOCK_CORE_STATUS_BUSY };

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "ticket_recover.c:%d: not so: %s\n", __LINE__, #condition);       \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

/* All zero is a free lock. Outside an owner's critical section, both counts are the same. */
struct shared {
    _Alignas(64) _Atomic uint32_t lock[LEN / WORD];
    _Atomic uint32_t one, other;
    atomic_bool end;
};

static struct shared *shared;

static uint32_t random_word(void)
{
    static uint64_t state = 19;
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return (uint32_t)(state >> 32);
}

static void attach(shmlock_core_ticket_t *lock, uint32_t party)
{
    CHECK(shmlock_core_ticket_attach(lock, shared->lock, LEN, PARTIES, party,
                                     SHMLOCK_CORE_FULL_SYSTEM) == OK);
}

/* --- the answers of the callback */

enum answer { ALIVE, UNKNOWN, DEAD };

struct question {
    enum answer answer;
    unsigned asked;
    shmlock_core_ticket_t *asks;
};

static bool answers(void *context, uint32_t party)
{
    struct question *question = context;
    CHECK(party == WORKER);
    question->asked++;
    CHECK(shmlock_core_ticket_release(question->asks) == SHMLOCK_CORE_STATUS_IN_USE);
    return question->answer == DEAD; /* a party in doubt is alive */
}

static void each_answer(void)
{
    static shmlock_core_ticket_t supervisor, worker, back, bystander;
    shmlock_core_record record = {.pid = 7, .description = "motor control"};
    shmlock_core_holder holder;
    attach(&supervisor, SUPERVISOR);
    attach(&worker, WORKER);
    CHECK(shmlock_core_ticket_set_record(&worker, &record) == OK);
    CHECK(shmlock_core_ticket_try_acquire(&worker) == OK);

    struct question question = {.asks = &supervisor};
    for (question.answer = ALIVE; question.answer < DEAD; question.answer++) {
        question.asked = 0;
        CHECK(shmlock_core_ticket_acquire_or_recover(&supervisor, answers, &question, WAITS, NULL,
                                                     NULL) == BUSY);
        CHECK(question.asked == WAITS && shmlock_core_ticket_is_held(&worker));
    }
    CHECK(shmlock_core_ticket_acquire_or_recover(&supervisor, NULL, NULL, WAITS, NULL, NULL) ==
          SHMLOCK_CORE_STATUS_NULL);

    /* Now it is reset: the handle is not used any more. */
    CHECK(shmlock_core_ticket_inspect(shared->lock, LEN, PARTIES, &holder) == OK);
    CHECK(holder.token == WORKER && holder.recorded && holder.record.pid == record.pid);
    CHECK(strcmp(holder.record.description, record.description) == 0);
    question = (struct question){.answer = DEAD, .asks = &supervisor};
    CHECK(shmlock_core_ticket_acquire_or_recover(&supervisor, answers, &question, WAITS, NULL,
                                                 NULL) == DIED);
    CHECK(question.asked == 1);
    CHECK(shmlock_core_ticket_declare_consistent(&supervisor) == OK);
    CHECK(shmlock_core_ticket_release(&supervisor) == OK);

    /* Once only: neither another proof nor the restart tells of it again. */
    attach(&bystander, BYSTANDER);
    CHECK(shmlock_core_ticket_take_over(&bystander, WORKER) == OK);
    CHECK(shmlock_core_ticket_detach(&bystander) == OK);
    attach(&back, WORKER);
    CHECK(shmlock_core_ticket_try_acquire(&back) == OK);
    CHECK(shmlock_core_ticket_detach(&back) == OK);
    CHECK(shmlock_core_ticket_inspect(shared->lock, LEN, PARTIES, &holder) == OK);
    CHECK(holder.token == 0 && holder.recoveries == 1 && !holder.owner_died);
    CHECK(shmlock_core_ticket_detach(&supervisor) == OK);
    puts("alive, unknown, dead: answered");
}

/* --- garbage */

static bool dead_if_bystander(void *asked, uint32_t party)
{
    ++*(unsigned *)asked;
    return party == BYSTANDER;
}

/* The supervisor and the worker keep to the protocol. All other bytes are garbage. */
static void garbage(void)
{
    static shmlock_core_ticket_t one, two;
    const size_t lines = SHMLOCK_CORE_REGION_LEN / WORD;
    const size_t line = SHMLOCK_CORE_TICKET_LINE_LEN / WORD;
    unsigned asked = 0;
    for (int round = 0; round < GARBAGE_ROUNDS; round++) {
        memset(shared, 0, sizeof *shared);
        attach(&one, SUPERVISOR);
        attach(&two, WORKER);
        for (size_t at = 0; at < LEN / WORD; at++) {
            bool theirs = at == 2 || (lines <= at && at < lines + 2 * line);
            uint32_t drawn = random_word();
            if (!theirs)
                shared->lock[at] = drawn % 4 == 0 ? drawn >> 30 : drawn % 4 == 1 ? -1u : drawn;
        }
        shmlock_core_status first = shmlock_core_ticket_acquire_or_recover(
            &one, dead_if_bystander, &asked, WAITS, NULL, NULL);
        CHECK(first == OK || first == DIED);
        CHECK(shmlock_core_ticket_acquire_or_recover(&two, dead_if_bystander, &asked, WAITS, NULL,
                                                     NULL) == BUSY);
        shmlock_core_holder holder;
        CHECK(shmlock_core_ticket_inspect(shared->lock, LEN, PARTIES, &holder) == OK);
        CHECK(memchr(holder.record.description, 0, sizeof holder.record.description) != NULL);
        CHECK(shmlock_core_ticket_release(&one) == OK);
        CHECK(shmlock_core_ticket_take_over(&two, BYSTANDER) >= 0);
        CHECK(shmlock_core_ticket_take_over(&one, BYSTANDER) == BUSY);
    }
    CHECK(asked > GARBAGE_ROUNDS); /* the bystander was in the way */
    printf("%d rounds of garbage: one owner\n", GARBAGE_ROUNDS);
}

/* --- processes that are killed */

static int32_t let_others_run(void *context, shmlock_core_wait_context *contention)
{
    (void)context;
    (void)contention;
    sched_yield();
    return 0;
}

/* The critical section. A death in it may leave the counts different. */
static void count(void)
{
    CHECK(shared->one == shared->other);
    shared->one++;
    for (int spin = 0; spin < 200; spin++)
        atomic_signal_fence(memory_order_seq_cst);
    shared->other++;
}

static bool has_ended(void *worker, uint32_t party)
{
    siginfo_t info = {0};
    return party == WORKER &&
           waitid(P_PID, (id_t) * (pid_t *)worker, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid != 0;
}

static void run_bystander(void)
{
    static shmlock_core_ticket_t lock;
    attach(&lock, BYSTANDER);
    while (!shared->end) {
        shmlock_core_status status =
            shmlock_core_ticket_acquire(&lock, 1000, let_others_run, NULL);
        if (status == BUSY)
            continue;
        CHECK(status == OK); /* the supervisor has repaired the data before */
        count();
        CHECK(shmlock_core_ticket_release(&lock) == OK);
    }
    _exit(0);
}

/* Tells when it is inside for the first time. */
static void run_worker(int inside, bool stays)
{
    static shmlock_core_ticket_t lock;
    attach(&lock, WORKER);
    CHECK(shmlock_core_ticket_begin_life(&lock) == OK);
    for (bool first = true;; first = false) {
        shmlock_core_status status;
        do
            status = shmlock_core_ticket_acquire(&lock, 1000, let_others_run, NULL);
        while (status == BUSY);
        CHECK(status == OK);
        if (first)
            CHECK(write(inside, "", 1) == 1);
        while (stays)
            pause();
        count();
        CHECK(shmlock_core_ticket_release(&lock) == OK);
    }
}

static pid_t fork_child(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* no child outlives the watchdog */
    return child;
}

static void kills(void)
{
    static shmlock_core_ticket_t lock;
    unsigned died_inside = 0, must_be_inside = 0;
    int inside[2];
    memset(shared, 0, sizeof *shared);
    CHECK(pipe(inside) == 0);
    pid_t bystander = fork_child();
    if (bystander == 0)
        run_bystander();
    attach(&lock, SUPERVISOR);
    for (int round = 0; round < ROUNDS; round++) {
        bool stays = round % 3 == 0;
        pid_t worker = fork_child();
        if (worker == 0)
            run_worker(inside[1], stays);
        char byte;
        CHECK(read(inside[0], &byte, 1) == 1);
        for (uint32_t spins = random_word() % 20000; spins > 0 && !stays; spins--)
            atomic_signal_fence(memory_order_seq_cst);
        CHECK(kill(worker, SIGKILL) == 0);

        shmlock_core_status status;
        do
            status = shmlock_core_ticket_acquire_or_recover(&lock, has_ended, &worker, 1000,
                                                            let_others_run, NULL);
        while (status == BUSY);
        CHECK(status == OK || status == DIED);
        CHECK(status == DIED || !stays);
        must_be_inside += stays;
        if (status == DIED) {
            died_inside++;
            shared->other = shared->one;
            CHECK(shmlock_core_ticket_declare_consistent(&lock) == OK);
        }
        count();
        CHECK(shmlock_core_ticket_release(&lock) == OK);

        /* It is told once. The dead party stays in the way of those that have no proof. */
        do
            status = shmlock_core_ticket_acquire_or_recover(&lock, has_ended, &worker, 1000,
                                                            let_others_run, NULL);
        while (status == BUSY);
        CHECK(status == OK);
        CHECK(shmlock_core_ticket_release(&lock) == OK);
        int ended;
        CHECK(waitpid(worker, &ended, 0) == worker && WIFSIGNALED(ended));
        CHECK(WTERMSIG(ended) == SIGKILL);
    }
    static shmlock_core_ticket_t last;
    attach(&last, WORKER);
    CHECK(shmlock_core_ticket_begin_life(&last) == OK);
    shared->end = true;
    int ended;
    CHECK(waitpid(bystander, &ended, 0) == bystander && ended == 0);
    shmlock_core_holder holder;
    CHECK(shmlock_core_ticket_inspect(shared->lock, LEN, PARTIES, &holder) == OK);
    CHECK(holder.token == 0 && !holder.owner_died);
    CHECK(holder.recoveries == died_inside && died_inside >= must_be_inside);
    printf("%d kills, each death inside was told of once: yes\n", ROUNDS);
    fprintf(stderr, "%u of %d died inside; %u counted\n", died_inside, ROUNDS,
            (unsigned)shared->one);
}

int main(void)
{
    alarm(WATCHDOG_SECONDS);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    each_answer();
    garbage();
    fflush(stdout); /* before the children copy it */
    kills();
    return 0;
}
