/*
 A signal ends a wait of an hour: the handler only sets a flag, and the interrupt callback looks at
 it. A signal that sets no flag does not end the wait. Expected output:

     a signal without a flag: the wait goes on
     a signal with a flag: the interrupt callback ended the wait
     a timeout: the lock was not free in time; wait longer, or see what the holder does
     an event set by a handler: the exit event ended the wait; clear it to wait again
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shmlock.h>

static const uint64_t HOUR = UINT64_C(3600) * 1000 * 1000 * 1000;

static volatile sig_atomic_t flag;
static atomic_int wakes;
static int asked[2];
static shmlock_event_t event = SHMLOCK_INIT;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "named_signal: %s: %s\n", what, why);
    exit(1);
}

static void set_flag(int number)
{
    if (number == SIGUSR2) /* the handler of the other may run later */
        flag = 1;
}

static void set_event(int number)
{
    (void)number;
    shmlock_event_set(&event, NULL); /* async-signal-safe */
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {0};
    action.sa_handler = handler;
    if (sigaction(number, &action, NULL) != 0)
        fail("sigaction", "refused");
}

/* Looks at the flag before each sleep. Tells the other thread of each signal. */
static int is_over(void *context, shmlock_wait_point point)
{
    (void)context;
    if (point == SHMLOCK_WAIT_POINT_SIGNAL) {
        atomic_fetch_add(&wakes, 1);
        if (write(asked[1], "", 1) != 1)
            fail("write", "refused");
    }
    return flag;
}

/* Sends a signal that sets no flag until the wait has noticed one, and then one that sets it: each
   may come before the wait sleeps. */
static void *signal_the_waiter(void *waiter)
{
    char byte;
    while (atomic_load(&wakes) == 0) {
        pthread_kill(*(pthread_t *)waiter, SIGUSR1);
        usleep(1000);
    }
    if (read(asked[0], &byte, 1) != 1)
        fail("read", "refused");
    printf("a signal without a flag: the wait goes on\n");
    pthread_kill(*(pthread_t *)waiter, SIGUSR2);
    return NULL;
}

static void *set_the_event(void *waiter)
{
    pthread_kill(*(pthread_t *)waiter, SIGALRM);
    return NULL;
}

/* Has another thread hold the lock, as another process would. */
static void *hold(void *lock)
{
    if (shmlock_lock(lock, NULL) < 0)
        fail("lock", "it is not free");
    return NULL;
}

static void in_a_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        fail("pthread_create", "refused");
}

int main(void)
{
    static shmlock_t holder = SHMLOCK_INIT, lock = SHMLOCK_INIT;
    shmlock_options options = SHMLOCK_OPTIONS_INIT;
    shmlock_error error;
    pthread_t self = pthread_self(), other;
    char name[64];
    snprintf(name, sizeof name, "shmlock-signal-c-%ld", (long)getpid());
    options.interrupt = is_over;
    options.exit_event = &event;
    if (pipe(asked) != 0 || shmlock_event_open(&event, NULL, NULL, 0, &error) < 0 ||
        shmlock_open(&lock, name, &options, &error) < 0 ||
        shmlock_open(&holder, name, NULL, &error) < 0)
        fail("open", error.text);
    handle(SIGUSR1, set_flag);
    handle(SIGUSR2, set_flag);
    handle(SIGALRM, set_event);
    in_a_thread(&other, hold, &holder);
    pthread_join(other, NULL);

    in_a_thread(&other, signal_the_waiter, &self);
    shmlock_status status = shmlock_lock_for(&lock, HOUR, &error);
    pthread_join(other, NULL);
    printf("a signal with a flag: %s\n", shmlock_message(status));
    flag = 0;
    printf("a timeout: %s\n", shmlock_message(shmlock_lock_for(&lock, 1000 * 1000, &error)));
    in_a_thread(&other, set_the_event, &self);
    status = shmlock_lock_for(&lock, HOUR, &error);
    pthread_join(other, NULL);
    printf("an event set by a handler: %s\n", shmlock_message(status));

    if (shmlock_close(&lock, &error) < 0 || shmlock_close(&holder, &error) < 0 ||
        shmlock_event_close(&event, &error) < 0)
        fail("close", error.text);
    return 0;
}
