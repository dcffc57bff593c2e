/*
 Several processes increment the number in a file, and no increment is lost. They share the lock by
 its name alone: this program and the Rust example `counter` may count in one file together.

     named_counter FILE [INCREMENTS]

 With `--no-lock` behind the number it does without the lock, and increments are lost.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmlock.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "named_counter: %s: %s\n", what, why);
    exit(1);
}

/* Reads the number in the file; a file that does not exist has 0. */
static long number_in(const char *path)
{
    long number = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        if (errno != ENOENT)
            fail(path, strerror(errno));
        return 0;
    }
    if (fscanf(file, "%ld", &number) != 1)
        number = 0; /* another process is writing it: only without the lock */
    fclose(file);
    return number;
}

static void write_number(const char *path, long number)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fail(path, strerror(errno));
    fprintf(file, "%ld", number);
    if (fclose(file) != 0)
        fail(path, strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("usage", "named_counter FILE [INCREMENTS [--no-lock]]");
    const char *path = argv[1];
    long increments = argc > 2 ? strtol(argv[2], NULL, 10) : 500;
    bool is_locked = argc <= 3;

    shmlock_t lock = SHMLOCK_INIT;
    shmlock_error error;
    if (shmlock_open(&lock, "shmlock-example-counter", NULL, &error) < 0)
        fail("open", error.text);
    for (long i = 0; i < increments; i++) {
        if (is_locked && shmlock_lock(&lock, &error) < 0) /* waits until the lock is free */
            fail("lock", error.text);
        write_number(path, number_in(path) + 1);
        if (is_locked && shmlock_release(&lock, &error) < 0)
            fail("release", error.text);
    }
    if (shmlock_close(&lock, &error) < 0)
        fail("close", error.text);
    return 0;
}
