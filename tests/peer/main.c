/* The program `peer`.
 *
 * The count protocol on FILE, for every implementation. FILE holds little-endian 64-bit words:
 *
 *   offset 0         c, the counter
 *   offset 8         s, its shadow
 *   offset 16        r, the number of sections whose repair followed a reported death
 *   offset 24 + 8*i  unused
 *
 * A critical section is:
 *   1. A reported death is repaired: c := s := max(c, s), s first; r := r + 1; the lock is declared
 *      consistent. A death is reported by D in the word, or by a take-over of this acquisition.
 *   2. It reads c and s. c != s without a reported death is a violation.
 *   3. s := c + 1; then c := c + 1.
 *   4. This program reads both again: another value than c + 1 is a violation, too.
 *
 * All accesses are relaxed atomic. A violation is printed and ends the program with status 3.
 *
 * `shmlock run` tells its command nothing of a death, and takes the mark away. So `peer step FILE`,
 * its command, repairs without a report: if c != s, it does 1 first (without the declaration).
 *
 * --tally T: a file of one 64-bit word, the sections that this process has completed. It is
 * counted after 3 and before the release, so a kill loses one section at most. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CELL_BYTES 4096

static volatile sig_atomic_t stop;
static _Atomic uint64_t *cell, *tally;
static struct peer_options options;
static bool pass, no_repair;
static int64_t wait_ms = -1;
static unsigned dwell_us;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static int fail(const char *what, int result)
{
    fprintf(stderr, "peer: %s: %s\n", what, peer_message(result));
    return 2;
}

static _Atomic uint64_t *map_cell(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p = MAP_FAILED;
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size >= 0 && (size >= CELL_BYTES || ftruncate(fd, CELL_BYTES) == 0))
        p = mmap(NULL, CELL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(fd);
    return p;
}

static uint64_t get(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void set(_Atomic uint64_t *p, uint64_t v)
{
    atomic_store_explicit(p, v, memory_order_relaxed);
}

static void repair(void)
{
    uint64_t c = get(&cell[0]), s = get(&cell[1]), m = c > s ? c : s;
    set(&cell[1], m);
    set(&cell[0], m);
    set(&cell[2], get(&cell[2]) + 1);
}

static void violation(const char *what, uint64_t c, uint64_t s)
{
    printf("VIOLATION: %s: counter %" PRIu64 " shadow %" PRIu64 " pid %d\n", what, c, s,
           (int)getpid());
    fflush(stdout);
    _exit(3);
}

/* Steps 2 to 4. */
static void section(void)
{
    uint64_t c = get(&cell[0]), s = get(&cell[1]);
    if (c != s)
        violation("no death was reported", c, s);
    set(&cell[1], c + 1);
    if (dwell_us > 0)
        usleep(dwell_us);
    set(&cell[0], c + 1);
    if (get(&cell[0]) != c + 1 || get(&cell[1]) != c + 1)
        violation("another holder is inside", get(&cell[0]), get(&cell[1]));
    if (tally != NULL)
        set(tally, get(tally) + 1);
}

static int count(const char *dir, const char *name, uint64_t n, bool churn)
{
    peer_lock *l = NULL;
    struct peer_taken taken;
    uint64_t done = 0, recoveries = 0, fencing = 0;
    int e = 0;
    while (stop == 0 && (n == 0 || done < n)) {
        if (l == NULL && (e = peer_open(&l, dir, name, &options)) != 0)
            return fail("open", e);
        if ((e = peer_acquire(l, -1, &taken)) != 0) {
            peer_close(l, true);
            return fail("acquire", e);
        }
        if (!churn && taken.fencing <= fencing)
            violation("the fencing token went back", taken.fencing, fencing);
        fencing = taken.fencing;
        if (taken.died && !no_repair) {
            repair();
            recoveries++;
            peer_declare_consistent(l);
        }
        section();
        done++;
        if ((e = pass && done % 8 != 0 ? peer_pass_on(l) : peer_release(l)) != 0)
            return fail("release", e);
        if (churn) {
            peer_close(l, true);
            l = NULL;
        }
    }
    if (l != NULL && (e = peer_close(l, true)) != 0)
        return fail("close", e);
    printf("sections %" PRIu64 " recoveries %" PRIu64 "\n", done, recoveries);
    return 0;
}

static int hold(const char *dir, const char *name)
{
    peer_lock *l;
    struct peer_taken taken;
    char buffer[256];
    ssize_t r = 1;
    int e = peer_open(&l, dir, name, &options);
    if (e != 0)
        return fail("open", e);
    if ((e = peer_acquire(l, wait_ms < 0 ? -1 : wait_ms * 1000000, &taken)) != 0) {
        peer_close(l, true);
        fail("acquire", e);
        return e == PEER_TIMED_OUT ? 1 : 2;
    }
    printf("held%s fencing %" PRIu64 "\n", taken.died ? " died" : "", taken.fencing);
    fflush(stdout);
    while (stop == 0 && r > 0)
        r = read(STDIN_FILENO, buffer, sizeof buffer);
    if (taken.died && !no_repair)
        peer_declare_consistent(l);
    e = peer_close(l, true);
    return e == 0 ? 0 : fail("close", e);
}

static int status(const char *dir, const char *name)
{
    struct peer_look look;
    int e = peer_look(dir, name, &look);
    if (e != 0)
        return fail(name, e);
    printf("owner: %" PRIu32 "%s%s\n", look.owner & PEER_TOKEN,
           (look.owner & PEER_WAITERS) != 0 ? " waiters" : "",
           (look.owner & PEER_DIED) != 0 ? " died" : "");
    printf("lives: %s\n", look.alive > 0 ? "yes" : look.alive == 0 ? "no" : "unknown");
    printf("generation: %" PRIu64 "\nrecoveries: %" PRIu32 "\ncontended: %" PRIu32 "\n",
           look.generation, look.recoveries, look.contended);
    if (!look.described) {
        puts("record: unknown");
        return 0;
    }
    fputs("uuid: ", stdout);
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", look.uuid[i]);
    printf("\npid: %" PRIu32 "\npid namespace: %" PRIu32 "\nsince: %" PRIu64 "\ndescription: ",
           look.pid, look.pid_namespace, look.since);
    /* 6: the text may be hostile. All but printable ASCII is escaped. */
    for (const char *p = look.description; *p != 0; p++)
        printf(*p >= ' ' && *p <= '~' && *p != '\\' ? "%c" : "\\x%02x", (unsigned char)*p);
    putchar('\n');
    return 0;
}

/* The command of `shmlock run`: one section without a lock of its own. */
static int step(void)
{
    if (get(&cell[0]) != get(&cell[1]))
        repair();
    section();
    return 0;
}

static int usage(void)
{
    fputs("peer count DIR NAME FILE N | churn DIR NAME FILE N | hold DIR NAME | status DIR NAME |\n"
          "step FILE\n"
          "flags, before the verb: --plain, --interval MS, --open-timeout MS, --describe TEXT,\n"
          "--mode OCTAL, --pass (pass on 7 times of 8), --wait MS (hold), --tally FILE,\n"
          "--dwell US (between the two stores), --no-repair (tests of this program alone)\n",
          stderr);
    return 64;
}

int main(int argc, char **argv)
{
    struct sigaction a = {.sa_handler = on_signal};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--plain") == 0)
            options.plain = true;
        else if (strcmp(flag, "--pass") == 0)
            pass = true;
        else if (strcmp(flag, "--no-repair") == 0)
            no_repair = true;
        else if (i + 1 >= argc)
            return usage();
        else if (strcmp(flag, "--interval") == 0)
            options.interval_ms = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(flag, "--open-timeout") == 0)
            options.open_timeout_ms = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(flag, "--describe") == 0)
            options.description = argv[++i];
        else if (strcmp(flag, "--mode") == 0)
            options.mode = (mode_t)strtoul(argv[++i], NULL, 8);
        else if (strcmp(flag, "--wait") == 0)
            wait_ms = strtoll(argv[++i], NULL, 10);
        else if (strcmp(flag, "--dwell") == 0)
            dwell_us = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(flag, "--tally") == 0)
            tally = map_cell(argv[++i]);
        else
            return usage();
    }
    argv += i;
    argc -= i;
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    if (argc == 5 && (strcmp(argv[0], "count") == 0 || strcmp(argv[0], "churn") == 0)) {
        cell = map_cell(argv[3]);
        return count(argv[1], argv[2], strtoull(argv[4], NULL, 10), argv[0][1] == 'h');
    }
    if (argc == 3 && strcmp(argv[0], "hold") == 0)
        return hold(argv[1], argv[2]);
    if (argc == 3 && strcmp(argv[0], "status") == 0)
        return status(argv[1], argv[2]);
    if (argc == 2 && strcmp(argv[0], "step") == 0) {
        cell = map_cell(argv[1]);
        return step();
    }
    return usage();
}
