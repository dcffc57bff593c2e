/*
 shmlock for C: a lock between processes, known only by its name.

 Every program of one user that opens "conveyor" shares the lock, whatever its language; the options
 admit other users. There is no object to pass, no server to run and no lock file to clean up. If an
 owner dies, by whatever death, the next owner acquires the lock and is told.

     shmlock_t lock = SHMLOCK_INIT;
     shmlock_error error;
     if (shmlock_open(&lock, "conveyor", NULL, &error) < 0)
         fail(error.text);
     switch (shmlock_lock(&lock, &error)) {
     case SHMLOCK_STATUS_OWNER_DIED:             // acquired, but an owner died holding it
         repair_the_data();
         shmlock_declare_consistent(&lock, NULL);
         // fall through
     case SHMLOCK_STATUS_OK:
         use_the_data();
         shmlock_release(&lock, NULL);
         break;
     default:                                    // negative: not acquired
         fail(error.text);
     }
     shmlock_close(&lock, NULL);

 Link with -lshmlock (pkg-config shmlock). Linux 4.14 or later, 32 and 64 bit, little-endian.

 The library cannot check the following. The caller guarantees it:

 * Memory. A pointer is NULL, or points to what its type says, for as long as the call lasts. A
   handle lies in private memory, is zero before its first use, and is neither copied nor moved
   while it is open. A handle that goes out of scope while it is open leaks its lock.
 * Threads. One thread at a time uses a lock's handle. Each thread that contends has a handle of its
   own (`shmlock_clone`). A handle may be passed to another thread with the synchronisation that any
   data needs. Pass it while it holds nothing: otherwise the thread that acquired counts as the
   holder. That thread's other handles get SHMLOCK_STATUS_WOULD_DEADLOCK, signals that
   SHMLOCK_BLOCK_WHILE_HELD has blocked stay blocked there, and its exit releases the lock if exit
   handlers are installed. Releasing on another thread is allowed. The library has no state of a
   thread in its interface: errors are in the caller's struct, and coroutines that change threads
   between two calls may use it.
 * Callbacks (interrupt, names, log). They return normally: no longjmp(3), no end of the thread by
   pthread_exit(3) or cancellation, no C++ exception. Any thread may call them with their context. A
   callback may use other handles; the handle whose call is in progress returns
   SHMLOCK_STATUS_IN_USE. If a callback forks, the call in the child returns SHMLOCK_STATUS_FORKED.
   The library holds no mutex of its own while it calls one.
 * Signal handlers may call the functions that are marked async-signal-safe. A handler does not jump
   out of a call that it has interrupted, and waits for no lock. Any call may change errno(3), which
   a handler restores.
 * Cancellation points are the functions that are marked so. Disable the cancellation of threads
   around them (pthread_setcancelstate(3)).
 * Fork. A child opens handles of its own. A child of vfork(2), or of clone(2) with CLONE_VM, calls
   no function.

 A process that waits for a millisecond or more may have a thread that watches the lock
 ("shmlock-watch"), until a second or two after its last wait. It blocks all signals. The library
 stays loaded after dlclose(3).

 A call that cannot allocate memory ends the process by abort(3). The functions that are marked
 async-signal-safe need none.

 Two copies of the library in one process, as a shared one and one in a static plugin, share locks
 as two processes do. A handle belongs to the copy that has opened it. A thread that waits for a
 lock that it holds by the other copy is not refused: it waits for ever.

 Generated from ffi/shell/src by cbindgen: change the sources, then run
 `bash ci/ffi_shell.sh header`. ffi/shell/README.md explains how to build the library.
 License: MIT or Apache-2.0.
 */

#ifndef SHMLOCK_H
#define SHMLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 Initialises a `shmlock_t` or a `shmlock_event_t`: all zero. Memory from calloc(3) will do, too.
 */
#ifdef __cplusplus
#define SHMLOCK_INIT {}
#else
#define SHMLOCK_INIT { 0 }
#endif

/*
 Initialises a `shmlock_options`: its size, and the default for all else.
 */
#define SHMLOCK_OPTIONS_INIT \
    { sizeof(shmlock_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL }


/*
 Flag: waiters sleep for one poll interval at a time, without futex(2) and without a thread that
 watches. For sandboxes that refuse these.
 */
#define SHMLOCK_SLEEP_POLLING 1

/*
 Flag: fences reach other bus masters. For memory that is shared beyond this operating system.
 */
#define SHMLOCK_FULL_SYSTEM 2

/*
 Flag: measure how long this handle holds the lock, for `shmlock_state.longest_hold_ns`.
 */
#define SHMLOCK_MEASURE_HOLDS 4

/*
 Flag: refuse the lock by `SHMLOCK_STATUS_POISONED` while the data may be inconsistent.
 */
#define SHMLOCK_POISONING 8

/*
 Flag: accept files of the user `trusted_owner`, besides our own and root's.
 */
#define SHMLOCK_TRUST_OWNER 16

/*
 Flag: block SIGINT, SIGTERM and SIGHUP while the lock is acquired and while it is released.
 */
#define SHMLOCK_BLOCK_TRANSITIONS 32

/*
 Flag: block them from the acquisition to the release, but not while waiting. The lock must be
 released on the thread that acquired it.
 */
#define SHMLOCK_BLOCK_WHILE_HELD 64

/*
 Exit handlers: on exit(3), and on return from `main`.
 */
#define SHMLOCK_AT_EXIT 1

/*
 Exit handlers: on death by SIGINT, SIGTERM or SIGHUP.
 */
#define SHMLOCK_AT_SIGNALS 2

/*
 The result of a call. Negative: an error, and nothing was acquired. Zero or positive: success.

 The type is a 32-bit integer on every target, whatever the compiler does with enums
 (`-fshort-enums`). A later version of the library may return numbers that this header does not
 name: test for negative numbers.
 */
enum shmlock_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Success. After an acquisition: the lock is held.
     */
    SHMLOCK_STATUS_OK = 0,
    /*
     The lock **is held**. An owner died holding it, and the data was not declared consistent
     since. Check the data, repair it, call `shmlock_declare_consistent`; release the lock in any
     case.
     */
    SHMLOCK_STATUS_OWNER_DIED = 1,
    /*
     `shmlock_get_holder`: no handle holds the lock. `shmlock_recovered`: no owner has died.
     `shmlock_inspect`: there is no such lock.
     */
    SHMLOCK_STATUS_NONE = 2,
    /*
     One try was made, and another handle holds the lock.
     */
    SHMLOCK_STATUS_BUSY = -1,
    /*
     The lock was not free within the time given.
     */
    SHMLOCK_STATUS_TIMED_OUT = -2,
    /*
     The exit event was set.
     */
    SHMLOCK_STATUS_CANCELLED = -3,
    /*
     The interrupt callback ended the wait.
     */
    SHMLOCK_STATUS_INTERRUPTED = -4,
    /*
     This thread holds the lock by another handle: waiting would never end.
     */
    SHMLOCK_STATUS_WOULD_DEADLOCK = -5,
    /*
     An owner died, and the data was not declared consistent since. Only for handles with
     `SHMLOCK_POISONING`. Nothing was acquired.
     */
    SHMLOCK_STATUS_POISONED = -6,
    /*
     The file was removed: the next to open the name gets another lock. Stop all users and open
     again.
     */
    SHMLOCK_STATUS_ORPHANED = -7,
    /*
     The handle belongs to the parent, and this process is a forked child. Open the name again.
     */
    SHMLOCK_STATUS_FORKED = -8,
    /*
     The handle does not hold the lock.
     */
    SHMLOCK_STATUS_NOT_HELD = -9,
    /*
     The handle already holds the lock 32766 times.
     */
    SHMLOCK_STATUS_NESTING_TOO_DEEP = -10,
    /*
     The owner word no longer names the handle that held the lock: an exit handler has released
     it, or another program has written to the file. Nothing is released.
     */
    SHMLOCK_STATUS_OVERWRITTEN = -11,
    /*
     A pointer that must not be NULL is NULL.
     */
    SHMLOCK_STATUS_NULL = -20,
    /*
     A pointer is not aligned for its type.
     */
    SHMLOCK_STATUS_MISALIGNED = -21,
    /*
     The handle is not open: it is zero, was closed, or is a copy of another.
     */
    SHMLOCK_STATUS_NOT_OPEN = -22,
    /*
     The handle is open already. Close it first.
     */
    SHMLOCK_STATUS_ALREADY_OPEN = -23,
    /*
     Another call on the handle is in progress: this call comes from a callback, from a signal
     handler that interrupted it, or from another thread. Use a handle of its own there.
     */
    SHMLOCK_STATUS_IN_USE = -24,
    /*
     The size, the flags or a number in a struct is not one that this version knows.
     */
    SHMLOCK_STATUS_BAD_OPTIONS = -25,
    /*
     A text is not UTF-8.
     */
    SHMLOCK_STATUS_BAD_TEXT = -26,
    /*
     A buffer is too small. It was not written to.
     */
    SHMLOCK_STATUS_BUFFER_TOO_SMALL = -27,
    /*
     The name cannot be a file name.
     */
    SHMLOCK_STATUS_INVALID_NAME = -40,
    /*
     A description has more than 63 bytes.
     */
    SHMLOCK_STATUS_DESCRIPTION_TOO_LONG = -41,
    /*
     A mode does not fit a lock.
     */
    SHMLOCK_STATUS_INVALID_MODE = -42,
    /*
     A system call failed; the error has its errno.
     */
    SHMLOCK_STATUS_SYSTEM = -43,
    /*
     The kernel, the file system or the sandbox lacks something the lock is built on.
     */
    SHMLOCK_STATUS_UNSUPPORTED = -44,
    /*
     The path leads to something that is no lock. It was left alone.
     */
    SHMLOCK_STATUS_NOT_A_LOCK = -45,
    /*
     The lock has typed data beside it, which a program in Rust has opened.
     */
    SHMLOCK_STATUS_OTHER_DATA = -46,
    /*
     The file belongs to a user that this handle does not trust.
     */
    SHMLOCK_STATUS_FOREIGN_OWNER = -47,
    /*
     The file gives more access than was asked for.
     */
    SHMLOCK_STATUS_MODE_TOO_WIDE = -48,
    /*
     A process that was closing the lock did not finish in time; it is probably stopped.
     */
    SHMLOCK_STATUS_OPEN_TIMED_OUT = -49,
    /*
     The program has a logger of the crate `log` already.
     */
    SHMLOCK_STATUS_LOGGER_SET = -50,
    /*
     The library has a defect: a call panicked. Close the handle, and report it.
     */
    SHMLOCK_STATUS_PANICKED = -126,
    /*
     An error that this version of the header does not know.
     */
    SHMLOCK_STATUS_UNKNOWN = -127,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum shmlock_status shmlock_status;
#else
typedef int32_t shmlock_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 The point of a wait at which it asks its interrupt callback: the waiting thread's last step.
 */
enum shmlock_wait_point
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     It has not slept yet.
     */
    SHMLOCK_WAIT_POINT_BEGIN = 0,
    /*
     A signal handler has ended a sleep.
     */
    SHMLOCK_WAIT_POINT_SIGNAL = 1,
    /*
     A sleep was over, by its time. A signal may have come meanwhile.
     */
    SHMLOCK_WAIT_POINT_ELAPSED = 2,
    /*
     It was woken, and another handle has the lock.
     */
    SHMLOCK_WAIT_POINT_WAKE = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum shmlock_wait_point shmlock_wait_point;
#else
typedef int32_t shmlock_wait_point;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 The kind of owner that has a lock, if one has.
 */
enum shmlock_held
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     The lock is free.
     */
    SHMLOCK_HELD_NO = 0,
    /*
     By this handle.
     */
    SHMLOCK_HELD_HERE = 1,
    /*
     By another handle, whose process lives.
     */
    SHMLOCK_HELD_ALIVE = 2,
    /*
     By an owner that has died. The next contender recovers the lock.
     */
    SHMLOCK_HELD_DEAD = 3,
    /*
     By an owner of which it is not known whether it lives; it counts as alive.
     */
    SHMLOCK_HELD_UNKNOWN = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum shmlock_held shmlock_held;
#else
typedef int32_t shmlock_held;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 The outcome of cleaning.
 */
enum shmlock_cleaned
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     No process had it open, and it was free. The file was removed.
     */
    SHMLOCK_CLEANED_REMOVED = 0,
    /*
     No process had it open, and an owner had died. The file was removed, and the news of the
     death with it.
     */
    SHMLOCK_CLEANED_REMOVED_AFTER_DEATH = 1,
    /*
     There is no such lock or event.
     */
    SHMLOCK_CLEANED_ABSENT = 2,
    /*
     A process has it open. The file is unchanged.
     */
    SHMLOCK_CLEANED_IN_USE = 3,
    /*
     An owner died, and no later owner has declared the data consistent. The file is unchanged.
     */
    SHMLOCK_CLEANED_OWNER_DIED = 4,
    /*
     An owner holds it that is no handle of this library. The file is unchanged.
     */
    SHMLOCK_CLEANED_HELD_BY_OTHER = 5,
    /*
     The file has a second name, or the name got another file meanwhile. Nothing was removed.
     */
    SHMLOCK_CLEANED_LINKED_ELSEWHERE = 6,
    /*
     An outcome that this version of the header does not know.
     */
    SHMLOCK_CLEANED_UNKNOWN = 127,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum shmlock_cleaned shmlock_cleaned;
#else
typedef int32_t shmlock_cleaned;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 An exit event: a switch that tells waiters to stop waiting. Initialise it with `SHMLOCK_INIT`,
 and open it. The fields are private to the library.

 Setting it ends the waits of all locks that were opened with it, by `SHMLOCK_STATUS_CANCELLED`:
 at once where the kernel has `futex_waitv(2)` (Linux 5.16), else within one poll interval. It
 stays set until it is cleared.

 Unlike a lock, any number of threads may use an open event at the same time. It is neither
 copied nor moved, and no other call is in progress while it is opened or closed. NULL,
 misaligned pointers and events that are not open are errors.
 */
typedef struct {
    uint32_t state;
    uint32_t reserved;
    void *content;
} shmlock_event_t;

/*
 The details of an error. Each call that can fail takes a pointer to one, or NULL.

 A call writes it if it returns a negative status, and leaves it alone otherwise. It need not be
 initialised. With NULL, a call composes no text. A misaligned pointer is treated as NULL.
 */
typedef struct {
    /*
     The status that the call returned.
     */
    shmlock_status status;
    /*
     The errno of the system call that failed; 0 if none did.
     */
    int32_t errnum;
    /*
     The process id of the handle that kept the lock from the caller. 0 if there is none, if it
     is not known, or if it is of another pid namespace.
     */
    uint32_t holder_pid;
    /*
     How long that handle has had the lock, in whole seconds.
     */
    uint32_t holder_seconds;
    /*
     Zero.
     */
    uint64_t reserved[4];
    /*
     What happened, to what, and what to do: one line, cut to fit, with a NUL.
     */
    char text[464];
} shmlock_error;

/*
 A handle: one contender of one lock. Initialise it with `SHMLOCK_INIT`, which is zero, and open
 it. The fields are private to the library.

 All functions treat a `shmlock_t *` in the same way, beside the contracts at the head of this
 file:

 * NULL and misaligned pointers are errors. Any other pointer points to a `shmlock_t` that was
   initialised to zero, as a static is, or opened, or closed.
 * An open handle is neither copied nor moved. A copy returns `SHMLOCK_STATUS_NOT_OPEN`, as a
   closed handle does.
 * One thread at a time uses a handle; passing it to another takes the same synchronisation as
   passing any other data. A call during another call, from a callback or from a signal handler
   that interrupts it, returns `SHMLOCK_STATUS_IN_USE` and changes nothing. So does most often a
   call that another thread makes by mistake.
 * In a forked child, every call that needs the lock returns `SHMLOCK_STATUS_FORKED` and changes
   nothing of the parent's. So does every call on a handle that was in use during the fork, by a
   thread or by the callback that forks. Close it, and open it anew.
 */
typedef struct {
    uint32_t state;
    uint32_t process;
    void *content;
    uint64_t more[2];
} shmlock_t;

/*
 Returns 0 if the wait goes on; any other value ends it by `SHMLOCK_STATUS_INTERRUPTED`.

 A waiting thread calls it **before each sleep**: the first time before any sleep, then after
 each signal, after each wake that has not brought the lock, and from time to time: after one
 poll interval, and each time that the wait, or the time since the last signal, is twice as long;
 with an exit event, once a second at least. It need not be async-signal-safe, and may take its
 time: other waiters are woken meanwhile. See "Callbacks" at the head of this file.

 A signal that comes between its return and the sleep is noticed at the next of these times. So
 is one whose handler has `SA_RESTART`, in a wait with an exit event. A handler that must end the
 wait at once in these cases as well calls `shmlock_event_set` for the exit event of the lock.
 */
typedef int (*shmlock_interrupt_fn)(void *context, shmlock_wait_point point);

/*
 The options with which a lock is opened. Initialise it with `SHMLOCK_OPTIONS_INIT`, which sets
 the size; a field that is zero has its default. The library copies what it needs.
 */
typedef struct {
    /*
     `sizeof(shmlock_options)`.
     */
    size_t size;
    /*
     The flags `SHMLOCK_SLEEP_POLLING` and so on.
     */
    uint32_t flags;
    /*
     The permission bits of the file, exactly and whatever the umask. Default 0600. All users of
     a lock name the same.
     */
    uint32_t mode;
    /*
     A user whose files are accepted, with `SHMLOCK_TRUST_OWNER`.
     */
    uint32_t trusted_owner;
    /*
     Zero.
     */
    uint32_t reserved;
    /*
     How long a waiter sleeps at a time where nothing wakes it, in nanoseconds. Default 50 ms.
     */
    uint64_t poll_interval_ns;
    /*
     How long running handles may pass the lock among themselves while waiters sleep. Default
     100 µs; 1 is as fair as can be; `UINT64_MAX` is no bound.
     */
    uint64_t fairness_interval_ns;
    /*
     How long opening waits for another handle that is just being closed. Default 5 s.
     */
    uint64_t open_timeout_ns;
    /*
     The directory of the file. Default `/dev/shm`.
     */
    const char *directory;
    /*
     What others read of this handle while it holds the lock: at most 63 bytes of UTF-8.
     */
    const char *description;
    /*
     An open event that ends every wait of this handle while it is set. It may be closed before
     the lock.
     */
    const shmlock_event_t *exit_event;
    /*
     Says whether a wait goes on.
     */
    shmlock_interrupt_fn interrupt;
    /*
     The first argument of `interrupt`.
     */
    void *interrupt_context;
} shmlock_options;

/*
 The owner of a lock, as far as its record can be read.
 */
typedef struct {
    /*
     The token in the owner word.
     */
    uint32_t token;
    /*
     The process id of the owner **in its own pid namespace**; 0 if it is not known.
     */
    uint32_t pid;
    /*
     The inode number of that pid namespace, as lsns(8) shows it; 0 if it is not known.
     */
    uint32_t pid_namespace;
    /*
     `pid` names the owner in this process's pid namespace, too.
     */
    bool pid_is_ours;
    /*
     The record could be read. Otherwise only the token is known.
     */
    bool recorded;
    /*
     How long the owner has had the lock without another owner in between, in whole seconds.
     */
    uint64_t held_seconds;
    /*
     The number that names the handle and no other: 16 bytes in order.
     */
    uint8_t uuid[16];
    /*
     The reason for the hold: UTF-8, with a NUL. Text of another process may be hostile: escape
     it before printing it to a terminal.
     */
    char description[64];
    /*
     Zero.
     */
    uint64_t reserved[4];
} shmlock_holder;

/*
 The state of a lock at one moment.
 */
typedef struct {
    /*
     The kind of its owner, if it has one.
     */
    shmlock_held held;
    /*
     The number of recoveries in the life of the file, modulo 2^32.
     */
    uint32_t recoveries;
    /*
     WAITERS is set. It may stay set after the last waiter has gone.
     */
    bool waiters;
    /*
     An owner died, and no later owner has declared the data consistent.
     */
    bool owner_died;
    /*
     The file was removed: the next opener of the name gets another lock.
     */
    bool orphaned;
    /*
     A handle is open. `true` by a handle.
     */
    bool in_use;
    /*
     The number of acquisitions that found another owner, modulo 2^32.
     */
    uint32_t contended;
    /*
     The number of acquisitions, without nested ones.
     */
    uint64_t acquisitions;
    /*
     The longest hold of a handle with `SHMLOCK_MEASURE_HOLDS`; 0 if there was none.
     */
    uint64_t longest_hold_ns;
    /*
     Zero.
     */
    uint64_t reserved[4];
    /*
     The owner; zero if the lock is free.
     */
    shmlock_holder holder;
} shmlock_state;

/*
 Takes one name. Returns 0 to go on, any other value to end the list. Another user may have
 chosen the name: escape it before printing it to a terminal. See "Callbacks" at the head of this
 file.
 */
typedef int (*shmlock_name_fn)(void *context, const char *name);

/*
 Takes one line of the log: a level from 1 (error) over 2 (warn), 3 (info) and 4 (debug) to 5
 (trace), and the text. Any thread may call it, several at a time. See "Callbacks" at the head of
 this file.
 */
typedef void (*shmlock_log_fn)(void *context, int level, const char *text);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Returns an English sentence about a status, for logs. Accepts any number. The text is static and
 never NULL.

 Never blocks; async-signal-safe; any thread.
 */
const char *shmlock_message(int32_t status);

/*
 Returns the version of the library, as `"1.2.3"`. The text is static.

 Never blocks; async-signal-safe; any thread.
 */
const char *shmlock_version(void);

/*
 Opens the event that every process of this user reaches by this name; with NULL for `name`, an
 event of this process alone.

 `directory` is NULL for `/dev/shm`; `mode` is 0 for 0600. The first opener finds the event
 clear, even if former users set it and were killed. The last user that closes it removes its
 file. Blocks only while another process is just closing it, for at most 5 s; not
 async-signal-safe; a cancellation point.

 Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_ALREADY_OPEN`, `_BAD_TEXT`; what
 `shmlock_open` returns for the file.

 # Safety
 For `event`: see `shmlock_event_t`. `name` and `directory` are NULL or strings. For `error`: see
 `shmlock_error`.
 */
shmlock_status shmlock_event_open(shmlock_event_t *event,
                                  const char *name,
                                  const char *directory,
                                  uint32_t mode,
                                  shmlock_error *error);

/*
 Closes an event. Locks that were opened with it keep it. In a forked child it leaves the
 parent's alone. Not async-signal-safe; a cancellation point.

 Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`.

 # Safety
 For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_event_close(shmlock_event_t *event, shmlock_error *error);

/*
 Ends every wait, until `shmlock_event_clear`.

 Never blocks; async-signal-safe if `error` is NULL; any thread.

 Returns `SHMLOCK_STATUS_OK`; `_FORKED` for a named event of the parent; `_NULL`, `_MISALIGNED`,
 `_NOT_OPEN`.

 # Safety
 For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_event_set(const shmlock_event_t *event, shmlock_error *error);

/*
 Allows waiting again.

 Never blocks; async-signal-safe if `error` is NULL; any thread.

 Returns what `shmlock_event_set` returns.

 # Safety
 For `event`: see `shmlock_event_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_event_clear(const shmlock_event_t *event, shmlock_error *error);

/*
 Returns `true` if the event is set. Returns `false` for an event that is not open, or the
 parent's.

 Never blocks; async-signal-safe; any thread.

 # Safety
 For `event`: see `shmlock_event_t`.
 */
bool shmlock_event_is_set(const shmlock_event_t *event);

/*
 Opens the lock of this name, and creates it if it does not exist. The lock is not acquired.

 Every program of this user that opens the name shares the lock; `mode` and `directory` in the
 options admit other users. `options` is NULL for the defaults. Blocks only while another handle
 is just being closed, for at most `open_timeout_ns`. Not async-signal-safe; a cancellation
 point. Needs one descriptor for as long as the handle lives.

 Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_ALREADY_OPEN`, `_IN_USE`; `_BAD_OPTIONS`,
 `_BAD_TEXT`, `_NOT_OPEN` (the event), `_INVALID_NAME`, `_DESCRIPTION_TOO_LONG`, `_INVALID_MODE`;
 `_SYSTEM`, `_UNSUPPORTED`, `_NOT_A_LOCK`, `_OTHER_DATA`, `_FOREIGN_OWNER`, `_MODE_TOO_WIDE`,
 `_OPEN_TIMED_OUT`. After an error nothing is changed or left behind.

 # Safety
 For `lock`: see `shmlock_t`. `name` is NULL or a string. Unless it is refused, `options` points
 to as many bytes as its size says, whose pointers are NULL or valid. For `error`: see
 `shmlock_error`.
 */
shmlock_status shmlock_open(shmlock_t *lock,
                            const char *name,
                            const shmlock_options *options,
                            shmlock_error *error);

/*
 Opens `copy` as another handle of the lock behind `lock`, with the same options: another
 contender, for another thread.

 Blocks as `shmlock_open` does; not async-signal-safe; a cancellation point.

 Returns what `shmlock_open` returns for `copy`; `SHMLOCK_STATUS_NOT_OPEN`, `_IN_USE`, `_FORKED`
 for `lock`.

 # Safety
 For `lock` and `copy`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_clone(const shmlock_t *lock, shmlock_t *copy, shmlock_error *error);

/*
 Closes a handle, and releases its holds. The last handle on the machine removes the lock's file.

 Waits for a fork(3) of another thread, for a second at most. Not async-signal-safe; a
 cancellation point. The handle is closed whatever is returned, except `SHMLOCK_STATUS_NULL`,
 `_MISALIGNED`, `_NOT_OPEN` and `_IN_USE`, and can be opened again.

 Returns `SHMLOCK_STATUS_OK`; `_OVERWRITTEN`; `_FORKED` in a child: it leaves the parent's lock
 alone.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_close(shmlock_t *lock, shmlock_error *error);

/*
 Writes the path of the lock's file into the `len` bytes at `buffer`, with a NUL. Unless it is
 NULL, `needed` gets the length with the NUL, also if the buffer is too small.

 Never blocks; async-signal-safe if `error` is NULL.

 Returns `SHMLOCK_STATUS_OK`; `_BUFFER_TOO_SMALL`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. `buffer` is NULL or has `len` writable bytes; `needed` is NULL or
 points to a `size_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_path(const shmlock_t *lock,
                            char *buffer,
                            size_t len,
                            size_t *needed,
                            shmlock_error *error);

/*
 Changes what others read of this handle while it holds the lock: at most 63 bytes of UTF-8.

 Never blocks; not async-signal-safe.

 Returns `SHMLOCK_STATUS_OK`; `_BAD_TEXT`, `_DESCRIPTION_TOO_LONG`, `_FORKED`; `_NULL`,
 `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`. Nothing is changed after an error.

 # Safety
 For `lock`: see `shmlock_t`. `description` is NULL or a string. For `error`: see
 `shmlock_error`.
 */
shmlock_status shmlock_describe(const shmlock_t *lock,
                                const char *description,
                                shmlock_error *error);

/*
 Acquires the lock, waiting for as long as it takes.

 A handle that holds the lock may acquire it again; it is free when each hold was released. A
 dead owner's lock is recovered, which the status tells: `SHMLOCK_STATUS_OWNER_DIED` **is an
 acquisition**. Blocks. A wait of a millisecond or more may start a thread, and allocate memory.
 Not a cancellation point. Not async-signal-safe.

 Returns `SHMLOCK_STATUS_OK`, `_OWNER_DIED`: the lock is held. `_CANCELLED`, `_INTERRUPTED`,
 `_WOULD_DEADLOCK`, `_POISONED`, `_ORPHANED`, `_FORKED`, `_NESTING_TOO_DEEP`, `_OVERWRITTEN`:
 nothing was acquired. `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_lock(shmlock_t *lock, shmlock_error *error);

/*
 Tries once to acquire the lock. Succeeds if it is free, held by this handle, or held by a dead
 owner.

 Does not wait for the owner. The recovery of a dead owner's lock waits for a fork(3) of another
 thread, for a second at most. Async-signal-safe if `error` is NULL, the log is off, and it
 succeeds or returns `SHMLOCK_STATUS_BUSY`. A handler that acquires the lock releases it before
 it returns.

 Returns `SHMLOCK_STATUS_OK`, `_OWNER_DIED`: the lock is held. `_BUSY`: another handle holds it.
 Otherwise what `shmlock_lock` returns.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_try(shmlock_t *lock, shmlock_error *error);

/*
 Acquires the lock, waiting at most so many nanoseconds, by the monotonic clock. Zero is one try.

 Blocks, and may return some tens of microseconds late. A free lock is acquired whatever the
 timeout. Otherwise as `shmlock_lock`.

 Returns `SHMLOCK_STATUS_TIMED_OUT`, with the holder in `error`; `_BUSY` for a timeout of zero.
 Otherwise what `shmlock_lock` returns.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_lock_for(shmlock_t *lock, uint64_t nanoseconds, shmlock_error *error);

/*
 Releases one hold. After the last release, the lock is free.

 Never blocks; it may yield the CPU. Async-signal-safe if the log is off and it succeeds.

 Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`, `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`,
 `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_release(shmlock_t *lock, shmlock_error *error);

/*
 Releases all holds of this handle at once. No hold is no error.

 Never blocks; it may yield the CPU. Async-signal-safe if the log is off and it succeeds.

 Returns `SHMLOCK_STATUS_OK`; `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_force_release(shmlock_t *lock, shmlock_error *error);

/*
 Returns `true` if this handle holds the lock: by its own count, and by the owner word. Returns
 `false` for a handle that is not open, in use, or the parent's.

 Never blocks; async-signal-safe.

 # Safety
 For `lock`: see `shmlock_t`.
 */
bool shmlock_is_held(const shmlock_t *lock);

/*
 Writes to `token` the fencing token of the present hold: a number that grows with every
 acquisition of this lock. Pass it to the protected resource, which can then refuse a late owner.

 Never blocks; async-signal-safe if `error` is NULL.

 Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. Unless it is refused, `token` points to a `uint64_t`. For `error`:
 see `shmlock_error`.
 */
shmlock_status shmlock_fencing_token(const shmlock_t *lock, uint64_t *token, shmlock_error *error);

/*
 Declares the protected data consistent after a death: later owners do not receive
 `SHMLOCK_STATUS_OWNER_DIED` any more.

 Never blocks.

 Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`, `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`,
 `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_declare_consistent(shmlock_t *lock, shmlock_error *error);

/*
 Writes to `holder` which owner has the lock now. A dead owner counts until its lock is
 recovered.

 Never blocks; changes nothing. The answer may be out of date at once. Async-signal-safe if
 `error` is NULL.

 Returns `SHMLOCK_STATUS_OK`; `_NONE` if the lock is free: `holder` is zero; `_FORKED`; `_NULL`,
 `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. Unless it is refused, `holder` points to a `shmlock_holder`. For
 `error`: see `shmlock_error`.
 */
shmlock_status shmlock_get_holder(const shmlock_t *lock,
                                  shmlock_holder *holder,
                                  shmlock_error *error);

/*
 Writes to `dead` which owner died, while the protected data may be inconsistent: this handle
 holds the lock, and its acquisition returned `SHMLOCK_STATUS_OWNER_DIED`.

 `dead` is zero if an earlier acquisition recovered the lock without declaring the data
 consistent, or if an exit handler released the lock of the dying owner. Never blocks.

 Returns `SHMLOCK_STATUS_OK`; `_NONE` if no owner has died, or this handle does not hold the
 lock; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. Unless it is refused, `dead` points to a `shmlock_holder`. For
 `error`: see `shmlock_error`.
 */
shmlock_status shmlock_recovered(const shmlock_t *lock, shmlock_holder *dead, shmlock_error *error);

/*
 Writes to `state` the state of the lock and of its file.

 Never blocks; changes nothing; some ten system calls. The answer may be out of date at once.

 Returns `SHMLOCK_STATUS_OK`; `_FORKED`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_t`. Unless it is refused, `state` points to a `shmlock_state`. For
 `error`: see `shmlock_error`.
 */
shmlock_status shmlock_get_state(const shmlock_t *lock, shmlock_state *state, shmlock_error *error);

/*
 Writes to `state` the state of the lock of this name, from outside: without a handle, and with
 no more than the right to read its file. Of `options`, only the directory counts.

 Never blocks; changes nothing. Not async-signal-safe; a cancellation point.

 Returns `SHMLOCK_STATUS_OK`; `_NONE` if there is no such lock: `state` is not written; `_NULL`,
 `_MISALIGNED`, `_BAD_OPTIONS`, `_BAD_TEXT`, `_INVALID_NAME`, `_NOT_A_LOCK`, `_SYSTEM`.

 # Safety
 `name` is NULL or a string. For `options`: see `shmlock_open`. Unless it is refused, `state`
 points to a `shmlock_state`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_inspect(const char *name,
                               const shmlock_options *options,
                               shmlock_state *state,
                               shmlock_error *error);

/*
 Has this process release its locks when it exits, or dies by SIGINT, SIGTERM or SIGHUP. `when`
 is `SHMLOCK_AT_EXIT`, `SHMLOCK_AT_SIGNALS`, or both.

 Safety does not depend on it: a dead owner's lock is recovered in any case. It spares the next
 owner some of the wait. On exit, the locks of the exiting thread are released. By a signal,
 those of each thread, for which the process waits at most `grace_ns`; 0 is the default, 100 ms.
 Such a release tells the next owner of a death. A handler that the program has installed for
 such a signal stays in place, and decides. Does not block; any thread; a second call is allowed.

 Returns `SHMLOCK_STATUS_OK`; `_BAD_OPTIONS` for another `when`; `_SYSTEM`.

 # Safety
 For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_install_exit_handlers(uint32_t when,
                                             uint64_t grace_ns,
                                             shmlock_error *error);

/*
 Calls `each` with the name of each lock in a directory, sorted. `directory` is NULL for
 `/dev/shm`. The locks may have users, or be left by dead processes.

 Reads the names of files and opens none. Never blocks; not async-signal-safe; a cancellation
 point. The directory is read before the first call of `each`.

 Returns `SHMLOCK_STATUS_OK`, also if `each` has ended the list; `_NULL` for `each`; `_SYSTEM`.

 # Safety
 `directory` is NULL or a string. `each` may be called with `context`. For `error`: see
 `shmlock_error`.
 */
shmlock_status shmlock_list(const char *directory,
                            shmlock_name_fn each,
                            void *context,
                            shmlock_error *error);

/*
 Calls `each` with the name of each exit event in a directory, as `shmlock_list` does for locks.

 # Safety
 That of `shmlock_list`.
 */
shmlock_status shmlock_list_events(const char *directory,
                                   shmlock_name_fn each,
                                   void *context,
                                   shmlock_error *error);

/*
 Removes the file of the lock of this name if no process has it open. With `forget_death`, also
 if an owner has died: the next owner is not told then, and fencing tokens begin at 1 again. Of
 `options`, only the directory counts.

 Never blocks; not async-signal-safe; a cancellation point. Openers wait during the call.

 Returns `SHMLOCK_STATUS_OK`, with the outcome in `cleaned`; `_NULL`, `_MISALIGNED`,
 `_BAD_OPTIONS`, `_BAD_TEXT`, `_INVALID_NAME`, `_NOT_A_LOCK`, `_UNSUPPORTED`, `_SYSTEM`: nothing
 was removed.

 # Safety
 `name` is NULL or a string. For `options`: see `shmlock_open`. Unless it is refused, `cleaned`
 points to a `shmlock_cleaned`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_clean(const char *name,
                             const shmlock_options *options,
                             bool forget_death,
                             shmlock_cleaned *cleaned,
                             shmlock_error *error);

/*
 Removes the file of the exit event of this name if no process has it open. `directory` is NULL
 for `/dev/shm`. Otherwise as `shmlock_clean`.

 # Safety
 `name` and `directory` are NULL or strings. Unless it is refused, `cleaned` points to a
 `shmlock_cleaned`. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_clean_event(const char *name,
                                   const char *directory,
                                   shmlock_cleaned *cleaned,
                                   shmlock_error *error);

/*
 Hands the events of all locks of this process to a function, up to this level: 0 (nothing),
 1 (error), 2 (warn), 3 (info), 4 (debug) or 5 (trace). NULL for `to` ends that. By default
 nothing is logged.

 An undisturbed acquisition or release logs nothing, and neither does a call that `to` itself
 makes. Does not block; not async-signal-safe. A thread that logs at this moment may still call
 the former function. Each call keeps some bytes for the rest of the process.

 Returns `SHMLOCK_STATUS_OK`; `_BAD_OPTIONS` for another level; `_LOGGER_SET` in a program in
 Rust that has set a logger of its own.

 # Safety
 `to` may be called with `context` by any thread, at any time. For `error`: see `shmlock_error`.
 */
shmlock_status shmlock_set_logger(int level,
                                  shmlock_log_fn to,
                                  void *context,
                                  shmlock_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMLOCK_H */
