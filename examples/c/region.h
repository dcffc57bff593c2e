/*
 What the C examples share: a file, mapped, with a lock in its first 128 bytes and a counter behind it. The Rust example
 `mapped_region` uses the same file.
 */

#ifndef REGION_H
#define REGION_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmlock_core.h>

/* All zero is a free lock and a count of zero: nobody has to initialise it. */
struct shared {
    unsigned char lock[SHMLOCK_CORE_REGION_LEN];
    /* The lock orders its users. Atomic, so that to break that order (`--no-lock`) loses counts and is not undefined. */
    _Atomic uint32_t counter;
    unsigned char rest[60];
};

static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Ends the program unless `status` is not an error. */
static inline shmlock_core_status succeeds(const char *call, shmlock_core_status status)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", call, shmlock_core_message(status));
        exit(1);
    }
    return status;
}

/* Maps the file, making it if it is not there. */
static inline struct shared *map_shared(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        fail(path);
    struct stat found;
    if (fstat(file, &found) != 0)
        fail(path);
    /* Never shrink a file that others may have mapped: an access beyond its end is a SIGBUS. */
    if (found.st_size < (off_t)sizeof(struct shared) && ftruncate(file, sizeof(struct shared)) != 0)
        fail(path);
    void *address = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (address == MAP_FAILED)
        fail(path);
    close(file);
    return address;
}

#endif
