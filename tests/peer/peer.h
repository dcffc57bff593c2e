/* A second implementation of the Shmlock protocol, layout version 1, for plain locks on Linux.
 *
 * The source follows PROTOCOL.md alone. Section numbers in comments are those of that page.
 * One handle serves one thread at a time. Blocks, lifelines and cleaning are absent. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Results: 0 is success, a positive number is an errno, a negative number is one of these. */
enum peer_result {
    PEER_BAD_NAME = -1,       /* 7: the name cannot be that of a lock */
    PEER_BAD_OPTION = -2,     /* 7, 1: mode or description are not allowed */
    PEER_NOT_A_FILE = -3,     /* 9.1: refused, not a regular file */
    PEER_FOREIGN_OWNER = -4,  /* 9.1: refused, the owner of the file is not trusted */
    PEER_MODE_TOO_WIDE = -5,  /* 9.1: refused, the file has more mode bits than configured */
    PEER_MOUNTED = -6,        /* 9.1: refused, a mounted file without a name of its own */
    PEER_BAD_SIZE = -7,       /* 7: refused, no lock has this size */
    PEER_NO_LOCK = -8,        /* 1: refused, foreign magic */
    PEER_OTHER_VERSION = -9,  /* 1: refused, another layout version */
    PEER_SECOND_NAME = -10,   /* 9.4: refused, untouched and with two names */
    PEER_TRUNCATED = -11,     /* 9.5: refused, the file was truncated meanwhile */
    PEER_OPEN_TIMED_OUT = -12,/* II: the opening began again until its deadline */
    PEER_UNSUPPORTED = -13,   /* 8, 9.7: byte locks do not work here */
    PEER_TIMED_OUT = -14,     /* 12: the lock was held until the deadline */
    PEER_ORPHANED = -15,      /* 12: the file was removed under the handle */
    PEER_OVERWRITTEN = -16,   /* 3: the word names another token at the release */
    PEER_NOT_HELD = -17,
    PEER_ALREADY_HELD = -18,
    PEER_FORKED = -19,        /* 11: the handle belongs to another process */
};

struct peer_options {
    bool plain;               /* true: no nameless files (9.1) */
    unsigned interval_ms;     /* poll interval of a waiter, 0 = 50 (12) */
    unsigned open_timeout_ms; /* deadline of an opening, 0 = 5000 (II) */
    mode_t mode;              /* of the file, 0 = 0600 (7) */
    const uid_t *trusted;     /* further trusted owners (9.1) */
    size_t trusted_count;
    const char *description;  /* at most 63 bytes of UTF-8 (1), NULL = none */
};

struct peer_taken {
    bool died;                /* D is set: an owner died, and no repair was declared since */
    bool recovered;           /* this very acquisition replaced a dead owner */
    uint64_t fencing;         /* the fencing token (4) */
};

struct peer_look {
    uint32_t owner;           /* the owner word */
    uint32_t recoveries, contended;
    uint64_t generation;
    int alive;                /* 1 = lives, 0 = dead, -1 = unknown or no owner */
    bool described;           /* the record is the holder's; the fields below are valid */
    uint8_t uuid[16];
    uint32_t pid, pid_namespace;
    uint64_t since;
    char description[64];
};

#define PEER_WAITERS 0x80000000u
#define PEER_DIED 0x40000000u
#define PEER_TOKEN 0x3fffffffu

typedef struct peer_lock peer_lock;

/* 9 */
int peer_open(peer_lock **out, const char *dir, const char *name, const struct peer_options *o);
/* 10: finished = false leaves a held word with DIED. The handle ends in every case. */
int peer_close(peer_lock *l, bool finished);
/* 4, 12: timeout_ns < 0 waits without end, 0 is one try, else the wait is that long at most. */
int peer_acquire(peer_lock *l, int64_t timeout_ns, struct peer_taken *taken);
/* 4 */
int peer_release(peer_lock *l);
int peer_pass_on(peer_lock *l);
/* 3 */
int peer_declare_consistent(peer_lock *l);
/* 6: another description, from the next acquisition on. */
int peer_describe(peer_lock *l, const char *text);
uint32_t peer_token(const peer_lock *l);
/* 9, last paragraph: the view of a process without a handle. */
int peer_look(const char *dir, const char *name, struct peer_look *out);
const char *peer_message(int result);

#endif
