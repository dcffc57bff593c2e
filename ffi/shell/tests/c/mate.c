/*
 Counts beside the frozen peer and the Rust implementation, by the rule at the head of
 tests/peer/main.c, through libshmlock. tests/tests/frozen_peer.rs starts it.

 Usage: mate (count|churn) DIRECTORY NAME FILE TIMES; TIMES 0 goes on until it is killed. `churn`
 opens the lock anew for each critical section. Exit status 3: two owners were in a critical section
 at one time.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <shmlock.h>

enum { COUNTER, SHADOW, REPAIRED, VIOLATION = 3, BYTES = 4096 };

static _Atomic uint64_t *cell;
static shmlock_t lock = SHMLOCK_INIT;
static shmlock_options options = SHMLOCK_OPTIONS_INIT;
static shmlock_error error;

static void check(const char *what, shmlock_status status)
{
    if (status < 0) {
        fprintf(stderr, "mate: %s: %s\n", what, error.text);
        exit(2);
    }
}

static uint64_t get(int index)
{
    return atomic_load_explicit(&cell[index], memory_order_relaxed);
}

static void set(int index, uint64_t value)
{
    atomic_store_explicit(&cell[index], value, memory_order_relaxed);
}

static void violation(const char *what)
{
    fprintf(stderr, "two owners at one time: %s\n", what);
    exit(VIOLATION);
}

/* One critical section, in the lock. */
static void count(shmlock_status acquired)
{
    uint64_t counter = get(COUNTER), shadow = get(SHADOW);
    if (acquired == SHMLOCK_STATUS_OWNER_DIED) {
        counter = counter > shadow ? counter : shadow;
        set(SHADOW, counter);
        set(COUNTER, counter);
        set(REPAIRED, get(REPAIRED) + 1);
        check("declare", shmlock_declare_consistent(&lock, &error));
    } else if (counter != shadow) {
        violation("counter and shadow differ");
    }
    set(SHADOW, counter + 1);
    set(COUNTER, counter + 1);
    if (get(COUNTER) != counter + 1 || get(SHADOW) != counter + 1)
        violation("another wrote");
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: mate (count|churn) DIRECTORY NAME FILE TIMES\n");
        return 64;
    }
    int file = open(argv[4], O_RDWR | O_CLOEXEC);
    void *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || map == MAP_FAILED) {
        perror(argv[4]);
        return 2;
    }
    cell = map;
    options.directory = argv[2];
    int is_churning = strcmp(argv[1], "churn") == 0;
    unsigned long long times = strtoull(argv[5], NULL, 10), done = 0;
    uint64_t former = 0, token;

    check("open", shmlock_open(&lock, argv[3], &options, &error));
    for (; times == 0 || done < times; done++) {
        if (is_churning) {
            check("close", shmlock_close(&lock, &error));
            check("open", shmlock_open(&lock, argv[3], &options, &error));
        }
        shmlock_status acquired = shmlock_lock(&lock, &error);
        check("lock", acquired);
        check("token", shmlock_fencing_token(&lock, &token, &error));
        if (!is_churning && token <= former)
            violation("the fencing token went back");
        former = token;
        count(acquired);
        check("release", shmlock_release(&lock, &error));
    }
    check("close", shmlock_close(&lock, &error));
    printf("%llu\n", done);
    return 0;
}
