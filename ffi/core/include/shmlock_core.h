/*
 shmlock-core for C: a lock in any shared memory, without an operating system.

 The library cannot check the following. The caller guarantees it:

 * Tokens. Each contender of a region has a token that no other living contender has: each core,
   task and process, and each thread that contends by itself. Two handles with the same token do
   not exclude each other.
 * Fork. fork(2) copies a handle and its token, and the library does not know processes. Set a
   fork generation for each handle (`shmlock_core_set_fork_generation`): then every call in a
   child returns SHMLOCK_CORE_STATUS_FORKED. Without a fork generation, a child can acquire while
   its parent holds the lock, and can release the parent's hold. A child that needs the lock
   attaches a handle with its own token. A handle lies in private memory, so that a child has a
   copy of it. A child of vfork(2), or of clone(2) with CLONE_VM, calls no function.
 * The end of a process or a thread, and exec(3), release nothing: the lock stays held. Another
   contender with proof of the death recovers it (`shmlock_core_take_over`; of a ticket lock,
   `shmlock_core_ticket_acquire_or_recover`). The next contender with the same token recovers it by
   acquiring.
 * Threads. One thread at a time uses a handle. A handle may be passed to another thread while it
   holds the lock. Each thread that contends has a handle and a token of its own.
 * Signal and interrupt handlers. A handler on the thread, task or core that uses a handle may
   call every function. A call that interrupts another call on the same handle returns
   SHMLOCK_CORE_STATUS_IN_USE. Between two calls, a handler's call has the same effect as a call
   of the program. A handler must not wait: the interrupted code may hold what it waits for.
 * longjmp(3). A hold belongs to the handle, not to a function: a jump out of the critical section
   leaves the lock held. A jump out of a callback, or out of a handler that interrupted a call, is
   not allowed, nor is a C++ exception. It leaves the handle in use for ever, and the other parties
   of a ticket lock may wait for it. Attaching the handle again with the same token or as the same
   party repairs that; if the lock was held, the next acquisition then returns
   SHMLOCK_CORE_STATUS_OWNER_DIED.
 * Boots. Each start of a core begins one boot, once, and no start-up code clears the roll or its
   regions while another party may use them. A supervisor retires only a boot whose core does not
   run.
 * Parties of a ticket lock. Each core or operating system has a number of its own, and one handle
   in use. A forked child uses no handle of its parent: it would be the same party. Map the memory
   with MADV_DONTFORK: then a child that uses it gets SIGSEGV.
 * Memory. A region has 128 bytes, aligned to 4; a ticket lock has 64 more for each party. It is
   the same memory for all contenders while a handle is attached. All accesses are 32-bit atomic
   operations; for a ticket lock, loads and stores only. It is zero before its first use.
   A mapped file is not truncated: an access beyond its end raises SIGBUS.
 * errno is neither read nor set. No function allocates, makes a system call, or uses
   thread-local storage.

 Generated from ffi/core/src by cbindgen: change the sources, then run `bash ci/ffi.sh header`.
 ffi/core/README.md explains how to build the library, PROTOCOL.md specifies the memory layout.
 License: MIT or Apache-2.0.
 */

#ifndef SHMLOCK_CORE_H
#define SHMLOCK_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 Fence scope for contenders in one coherent domain: the cores of one operating system, or the
 tasks of one core.
 */
#define SHMLOCK_CORE_INNER_SHAREABLE 0

/*
 Fence scope for memory that is shared with other bus masters: another cluster, a Cortex-M beside
 a Cortex-A, a DSP. The fences order accesses; they do not clean caches. Map such memory
 non-cacheable, or have the hardware keep it coherent.
 */
#define SHMLOCK_CORE_FULL_SYSTEM 1

/*
 The size of a region in bytes. All zero is a free lock.
 */
#define SHMLOCK_CORE_REGION_LEN 128

/*
 The alignment of a region in bytes. Prefer 64: then all hot words share one cache line.
 */
#define SHMLOCK_CORE_REGION_ALIGN 4

/*
 The version of the memory layout, as in `PROTOCOL.md`.
 */
#define SHMLOCK_CORE_LAYOUT_VERSION 1

/*
 The largest token of `shmlock_core_attach`. The smallest is 1.
 */
#define SHMLOCK_CORE_TOKEN_MAX 65535

/*
 The largest slot of a roll. The smallest is 1.
 */
#define SHMLOCK_CORE_SLOT_MAX 63

/*
 The bytes of a roll before its slots. A roll is aligned to 4; all zero is one without any boot.
 */
#define SHMLOCK_CORE_ROLL_HEAD_LEN 16

/*
 The bytes of a roll for each slot, behind the first `SHMLOCK_CORE_ROLL_HEAD_LEN`.
 */
#define SHMLOCK_CORE_ROLL_SLOT_LEN 8

/*
 The bytes of a ticket lock for each party, behind the first `SHMLOCK_CORE_REGION_LEN`. All zero
 is a free lock.
 */
#define SHMLOCK_CORE_TICKET_LINE_LEN 64

/*
 The fewest parties of a ticket lock.
 */
#define SHMLOCK_CORE_TICKET_PARTIES_MIN 2

/*
 The most parties of a ticket lock.
 */
#define SHMLOCK_CORE_TICKET_PARTIES_MAX 8

/*
 The result of a call. Negative: an error, and nothing was changed unless the code says so. Zero
 or positive: success.

 The type is a 32-bit integer on every target, whatever the compiler does with enums
 (`-fshort-enums`).
 */
enum shmlock_core_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Success. After an acquisition: the lock is held.
     */
    SHMLOCK_CORE_STATUS_OK = 0,
    /*
     The lock **is held**. An owner died holding it, and the data was not declared consistent
     since. Check the data, repair it, call `shmlock_core_declare_consistent`; release the lock
     in any case.
     */
    SHMLOCK_CORE_STATUS_OWNER_DIED = 1,
    /*
     Another contender holds the lock, and the attempts are used up or the callback gave up.
     */
    SHMLOCK_CORE_STATUS_BUSY = -1,
    /*
     A pointer that must not be NULL is NULL.
     */
    SHMLOCK_CORE_STATUS_NULL = -2,
    /*
     A pointer is not aligned for its type, or the region not to `SHMLOCK_CORE_REGION_ALIGN`.
     */
    SHMLOCK_CORE_STATUS_MISALIGNED = -3,
    /*
     The region has fewer than `SHMLOCK_CORE_REGION_LEN` bytes; for a ticket lock,
     `SHMLOCK_CORE_TICKET_LINE_LEN` more for each party.
     */
    SHMLOCK_CORE_STATUS_TOO_SHORT = -4,
    /*
     The memory holds a lock of another kind, or something else. Attach to it as what it is, or
     give the lock memory of its own; clear garbage to zero while all parties are stopped.
     */
    SHMLOCK_CORE_STATUS_NOT_A_LOCK = -5,
    /*
     The memory holds a lock of another layout version. Use the same version on all sides.
     */
    SHMLOCK_CORE_STATUS_OTHER_VERSION = -6,
    /*
     The token is out of range.
     */
    SHMLOCK_CORE_STATUS_BAD_TOKEN = -7,
    /*
     The fence scope is neither `SHMLOCK_CORE_INNER_SHAREABLE` nor `SHMLOCK_CORE_FULL_SYSTEM`.
     */
    SHMLOCK_CORE_STATUS_BAD_SCOPE = -8,
    /*
     The handle is not attached: it is zero, was detached, or is a copy of another handle.
     */
    SHMLOCK_CORE_STATUS_NOT_ATTACHED = -9,
    /*
     Another call on the handle is in progress: this call comes from its wait callback, or from a
     signal handler that interrupted it. Use a separate handle there.
     */
    SHMLOCK_CORE_STATUS_IN_USE = -10,
    /*
     The handle does not hold the lock.
     */
    SHMLOCK_CORE_STATUS_NOT_HELD = -11,
    /*
     The handle acquired the lock, but the owner word names another owner: the region was written
     outside the protocol, or a forked child released the lock. After a release the handle holds
     nothing. The word is left unchanged, because another owner may hold the lock by now.
     */
    SHMLOCK_CORE_STATUS_OVERWRITTEN = -12,
    /*
     The handle already holds the lock 65534 times.
     */
    SHMLOCK_CORE_STATUS_NESTING_TOO_DEEP = -13,
    /*
     A description is not UTF-8, or has no NUL among its bytes.
     */
    SHMLOCK_CORE_STATUS_BAD_DESCRIPTION = -14,
    /*
     The handle belongs to the parent, and this process is a forked child. Nothing was changed.
     Attach a handle with its own token in the child.
     */
    SHMLOCK_CORE_STATUS_FORKED = -15,
    /*
     The slot is out of range, or the roll is too short for it.
     */
    SHMLOCK_CORE_STATUS_BAD_SLOT = -16,
    /*
     The memory holds a lock, or something else that is no roll. Give the roll memory of its own;
     clear garbage to zero while all parties are stopped.
     */
    SHMLOCK_CORE_STATUS_NOT_A_ROLL = -17,
    /*
     The memory holds a roll of another layout version. Use the same version on all sides.
     */
    SHMLOCK_CORE_STATUS_OTHER_ROLL_VERSION = -18,
    /*
     The roll has no room for one slot: `SHMLOCK_CORE_ROLL_HEAD_LEN` and
     `SHMLOCK_CORE_ROLL_SLOT_LEN`.
     */
    SHMLOCK_CORE_STATUS_ROLL_TOO_SHORT = -19,
    /*
     The lock has tokens of boots, and this call has a plain one. Attach the handle with a boot
     (`shmlock_core_attach_boot`); or stop all parties and clear the region to zero.
     */
    SHMLOCK_CORE_STATUS_EPOCH_TOKENS = -20,
    /*
     The lock has plain tokens, and this call has that of a boot. Attach the handle with a plain
     token (`shmlock_core_attach`); or stop all parties and clear the region to zero.
     */
    SHMLOCK_CORE_STATUS_PLAIN_TOKENS = -21,
    /*
     A ticket lock has 2 to 8 parties, and this is another number.
     */
    SHMLOCK_CORE_STATUS_BAD_PARTIES = -22,
    /*
     The ticket lock has no such party: they are counted from 1 to the number of parties.
     */
    SHMLOCK_CORE_STATUS_BAD_PARTY = -23,
    /*
     The memory holds a ticket lock for another number of parties. Use one number on all sides.
     */
    SHMLOCK_CORE_STATUS_OTHER_PARTIES = -24,
    /*
     The handle holds the lock, and a life begins without a hold. Release it first.
     */
    SHMLOCK_CORE_STATUS_ALREADY_HELD = -25,
    /*
     The callback did not prove the death of the party. Nothing was changed.
     */
    SHMLOCK_CORE_STATUS_NOT_DEAD = -26,
    /*
     An error that this version of the header does not know.
     */
    SHMLOCK_CORE_STATUS_UNKNOWN = -127,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum shmlock_core_status shmlock_core_status;
#else
typedef int32_t shmlock_core_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A handle: one contender of one lock. A handle of zero bytes is not attached. The fields are
 private to the library.

 All functions treat a `shmlock_core_t *` in the same way, beside the contracts at the head of
 this file:

 * NULL and misaligned pointers are errors. Any other pointer points to a `shmlock_core_t` that
   was initialised to zero, as a static is, or attached by `shmlock_core_attach`.
 * One thread, task or core uses a handle at a time. Passing it to another takes the same
   synchronisation as passing any other data.
 * An attached handle is neither copied nor moved. A copy returns
   `SHMLOCK_CORE_STATUS_NOT_ATTACHED`.
 * A call during another call, from its wait callback or from a signal handler that interrupts
   it, returns `SHMLOCK_CORE_STATUS_IN_USE` and changes nothing. Therefore every function is
   async-signal-safe if the wait callback is.
 * The region outlives the handle, or the handle is detached first.
 */
typedef struct {
    uint32_t state;
    uint32_t busy;
    uint64_t space[24];
} shmlock_core_t;

/*
 The argument of a wait callback. Valid until the callback returns.
 */
typedef struct {
    /*
     The owner's token at the last failed attempt; 0 if the lock was free then. Of a ticket lock,
     the party in the way.
     */
    uint32_t owner;
    /*
     The number of attempts that failed before this one; stops counting at 2^32 - 1.
     */
    uint32_t attempt;
    /*
     The owner word, on which a futex sleeps. Of a ticket lock, a word of the party in the way.
     Only read it, atomically.
     */
    const uint32_t *word;
    /*
     Private.
     */
    void *core;
} shmlock_core_wait_context;

/*
 Waits after a failed attempt, with the context of the caller: spins, yields, sleeps, waits for a
 notification or a futex.

 Returns 0 to try again, any other value to give up. It must bound its sleep by an interval of
 its own: **a wake is a hint**, because the owner may be unable to send one. It must return
 normally: no `longjmp`, no end of its thread by `pthread_exit(3)` or `pthread_cancel(3)`, no C++
 exception. It must not use the handle that is being acquired (`SHMLOCK_CORE_STATUS_IN_USE`).
 */
typedef int32_t (*shmlock_core_wait_fn)(void *context, shmlock_core_wait_context *contention);

/*
 An owner record. Leave unknown fields zero.
 */
typedef struct {
    /*
     Start of the current unbroken series of holds, in seconds since boot.
     */
    uint64_t since;
    /*
     Process id in the owner's own pid namespace. 0 without processes.
     */
    uint32_t pid;
    /*
     Inode number of that pid namespace, 0 if unknown. In another namespace, `pid` names another
     process.
     */
    uint32_t pid_namespace;
    /*
     Unique identifier of the owner: 16 bytes in order.
     */
    uint8_t uuid[16];
    /*
     Reason for the hold: at most 63 bytes of UTF-8 and a NUL. Text from a region may be hostile:
     escape it before printing it to a terminal.
     */
    char description[64];
} shmlock_core_record;

/*
 The owner of a lock.
 */
typedef struct {
    /*
     The owner's token; of a ticket lock, its party. 0: the lock is free.
     */
    uint32_t token;
    /*
     Number of recoveries so far, modulo 2^32. Of a ticket lock, the deaths of owners whose party
     began another life.
     */
    uint32_t recoveries;
    /*
     An owner died, and the data was not declared consistent since. The owner in `token` may be
     dead as well: nothing in the memory tells.
     */
    bool owner_died;
    /*
     `record` is the owner's. If false, the owner has none or is writing it, and `record` is
     zero.
     */
    bool recorded;
    /*
     The owner record.
     */
    shmlock_core_record record;
} shmlock_core_holder;

/*
 One boot of one core.
 */
typedef struct {
    /*
     The slot of the core, 1 to `SHMLOCK_CORE_SLOT_MAX`.
     */
    uint32_t slot;
    /*
     The number of the boot. The first one is 1; 0 is none.
     */
    uint32_t number;
} shmlock_core_boot;

/*
 A handle of a ticket lock: one party. A handle of zero bytes is not attached. The fields are
 private to the library.

 All functions treat a `shmlock_core_ticket_t *` as the others treat a `shmlock_core_t *`.

 **One handle of a party is in use at a time.** Two handles of one party do not exclude each
 other.
 */
typedef struct {
    shmlock_core_t handle;
} shmlock_core_ticket_t;

/*
 Returns `true` if the party is dead at one instant of the call, and its stores have ended: the
 core is held in reset, its power is off, its process has been waited for. Returns `false` if the
 party lives, and if the callback cannot tell: **a party in doubt is alive**. A wrong proof makes
 two owners.

 It must return normally, as `shmlock_core_wait_fn`.
 */
typedef bool (*shmlock_core_is_dead_fn)(void *context, uint32_t party);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Returns an English sentence about a status, for logs. Accepts any number. The text is static and
 never NULL.

 Never blocks; async-signal-safe; any caller.
 */
const char *shmlock_core_message(int32_t status);

/*
 Returns `SHMLOCK_CORE_STATUS_OK` if the `len` bytes at `address` are a lock, or zero and could
 become one. A lock with tokens of boots is a lock as well. Only reads, so read-only memory is
 enough.

 Never blocks; async-signal-safe; any caller.

 Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`.

 # Safety
 Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
 accesses only.
 */
shmlock_core_status shmlock_core_check(const void *address, size_t len);

/*
 Attaches `lock` to the `len` bytes at `address`, as the contender `token`. It holds nothing yet.

 Memory that is all zero becomes a lock: the magic word is written, and nothing else. The
 previous content of `lock` is overwritten; detach a handle before attaching it again.

 **Give each contender of a region its own token** from 1 to `SHMLOCK_CORE_TOKEN_MAX`: each core,
 task, process, boot loader. Two contenders with the same token do not exclude each other. (A
 core that restarts finds its own token in the lock. Its first acquisition recovers the lock and
 returns `SHMLOCK_CORE_STATUS_OWNER_DIED`.) All contenders of a region use the same
 `fence_scope`: `SHMLOCK_CORE_INNER_SHAREABLE` or `SHMLOCK_CORE_FULL_SYSTEM`.

 Never blocks; async-signal-safe; any caller.

 Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_EPOCH_TOKENS`, `_BAD_TOKEN`, `_BAD_SCOPE`. An error leaves the handle and
 the memory unchanged.

 # Safety
 `lock` points to a `shmlock_core_t` that no other code uses meanwhile. Unless the address is
 refused, `len` bytes at it are readable and writable until the handle is detached, and are
 accessed by 32-bit atomic operations only. (Foreign *values* there can harm nothing but the
 lock.) If they are a mapped file, it is not truncated.
 */
shmlock_core_status shmlock_core_attach(shmlock_core_t *lock,
                                        void *address,
                                        size_t len,
                                        uint32_t token,
                                        uint32_t fence_scope);

/*
 Releases every hold of a handle and detaches it.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_OVERWRITTEN`: the handle is detached nevertheless; `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`: nothing was changed.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_detach(shmlock_core_t *lock);

/*
 Makes every call on the handle compare the word at `generation` with its current value. If they
 differ, the call returns `SHMLOCK_CORE_STATUS_FORKED` and changes nothing. NULL ends the
 comparison, and so does attaching the handle again.

 For programs that fork. A child has a copy of its parent's handle with the same token, and
 nothing else tells them apart: the child could acquire while its parent holds the lock, and
 could release the parent's hold. So `generation` points to a word that changes in a child before
 the child uses the handle:

 * a static word that a handler of `pthread_atfork(3)` increments in the child; or
 * a nonzero word on a page with `MADV_WIPEONFORK` (`madvise(2)`): it is zero in every child,
   also after a bare `clone(2)`.

 If a process forks during a call, in its wait callback or a signal handler, that call returns
 `SHMLOCK_CORE_STATUS_FORKED` in the child. A child of a signal handler should not return into
 the call, but call `exec(3)` or `_exit(2)`: between two instructions it may acquire a free lock
 with its parent's token. No owner is then in the critical section, and the parent's next
 acquisition recovers the lock and returns `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 A child that needs the lock attaches a handle with its own token: another handle, or its copy of
 this one.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_MISALIGNED`; for `lock` `_NULL`, `_MISALIGNED`,
 `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 For `lock`: see `shmlock_core_t`. `generation` is NULL, or refused, or points to a `uint32_t`
 that is readable until the handle is detached or attached again, in the child as well.
 */
shmlock_core_status shmlock_core_set_fork_generation(shmlock_core_t *lock,
                                                     const uint32_t *generation);

/*
 Acquires the lock if it is free or already held by this handle.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Holds nest: each acquisition needs one release.

 Returns `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: acquired. Not acquired: `_BUSY`;
 `_NESTING_TOO_DEEP`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`;
 `_OVERWRITTEN` if this handle holds the lock and the word names another owner.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_try_acquire(shmlock_core_t *lock);

/*
 Acquires the lock, calling `wait(context, ..)` after each failed attempt, at most `waits` times.
 With 0 it makes one attempt. Without a callback (NULL) it spins: a few nanoseconds an attempt,
 right only for short critical sections on other cores.

 Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the contender
 that uses the handle. Contenders have no order.

 If it gives up, check `shmlock_core_owes_wake`.

 Returns the same as `shmlock_core_try_acquire`.

 # Safety
 For `lock`: see `shmlock_core_t`. `wait` is NULL, or meets `shmlock_core_wait_fn` and accepts
 `context`.
 */
shmlock_core_status shmlock_core_acquire(shmlock_core_t *lock,
                                         uint32_t waits,
                                         shmlock_core_wait_fn wait,
                                         void *context);

/*
 Acquires the lock if it is free, already held by this handle, or held by the owner `dead`,
 **which the caller knows to be dead**.

 The proof is the caller's: a core held in reset, a process that `waitpid` has returned, a
 deleted task. From before the call until after it, the owner stays dead and its token unused:
 the core is not started, the process not replaced. A wrong proof makes two owners.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Returns the same as `shmlock_core_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if it recovered
 the lock, or if the data was not declared consistent after an earlier death; `_BUSY` if an owner
 other than `dead` holds the lock. `_BAD_TOKEN` if `dead` is not a token.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_take_over(shmlock_core_t *lock, uint32_t dead);

/*
 Sets WAITERS in the owner word, so that the owner's release owes a wake
 (`shmlock_core_owes_wake`). For wait callbacks that sleep until they are woken.

 Writes to `value` the value on which to sleep: `futex(2)` with `FUTEX_WAIT` on
 `contention->word`, or any wait that ends at once if the word has another value. Never blocks;
 async-signal-safe; only the callback, before it returns.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_BUSY` if the word changed meanwhile: do not sleep, return 0;
 `_NULL`, `_MISALIGNED`.

 # Safety
 Unless they are refused, `contention` is the callback's argument, and `value` points to a
 `uint32_t`.
 */
shmlock_core_status shmlock_core_set_waiters(shmlock_core_wait_context *contention,
                                             uint32_t *value);

/*
 Releases one hold. After the last release, the lock is free.

 Never blocks; async-signal-safe; only the contender that uses the handle. If there are waiters,
 it sends an event to ARM cores that wait by `wfe`. Other wakes are up to the caller: see
 `shmlock_core_owes_wake`.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`; `_NULL`, `_MISALIGNED`,
 `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_release(shmlock_core_t *lock);

/*
 Returns `true` if the last release of this handle, or a later acquire that gave up, owes a wake
 to a waiter: one that has called `shmlock_core_set_waiters`, or sleeps in the futex of the
 Linux library.

 Then wake one of them: `futex(2)` with `FUTEX_WAKE` on the region's first word, a task
 notification, an interrupt to the other core. Without such means, do nothing: sleeping waiters
 retry after their own interval.

 Never blocks; async-signal-safe; only the contender that uses the handle. Returns `false` for a
 handle that is not attached, in use, or the parent's.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
bool shmlock_core_owes_wake(const shmlock_core_t *lock);

/*
 Returns `true` if this handle has acquired the lock and the owner word still names it. Returns
 `false` for a handle that is not attached, in use, or the parent's.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
bool shmlock_core_is_held(const shmlock_core_t *lock);

/*
 Writes to `number` the fencing token of the current hold. It grows with every acquisition of
 this lock by any contender. Pass it to the protected resource, which can then refuse a late
 owner.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`, `_FORKED`.

 # Safety
 For `lock`: see `shmlock_core_t`. Unless it is refused, `number` points to a `uint64_t`.
 */
shmlock_core_status shmlock_core_fencing_token(const shmlock_core_t *lock, uint64_t *number);

/*
 Declares the protected data consistent after a death: later owners do not receive
 `SHMLOCK_CORE_STATUS_OWNER_DIED` any more.

 Never blocks; async-signal-safe; only the contender that uses the handle, while it holds the
 lock.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`: the hold stays counted; `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 For `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_declare_consistent(shmlock_core_t *lock);

/*
 Writes to `holder` the owner of the lock in the `len` bytes at `address`, without a handle or a
 token. Only reads the region, so a debugger or a supervisor can call it at any time. The result
 may be out of date when the call returns.

 Never blocks; async-signal-safe; any caller.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_BAD_SCOPE`: `holder` is unchanged.

 # Safety
 Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
 accesses only. Unless it is refused, `holder` points to a `shmlock_core_holder`.
 */
shmlock_core_status shmlock_core_inspect(const void *address,
                                         size_t len,
                                         uint32_t fence_scope,
                                         shmlock_core_holder *holder);

/*
 Sets the owner record of this handle: at once if it holds the lock, and from its next
 acquisition on. With NULL, others read only its token.

 An acquisition then takes about thirty more stores if another contender held the lock meanwhile.

 Never blocks; async-signal-safe; only the contender that uses the handle.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; for `lock` `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 For `lock`: see `shmlock_core_t`. `record` is NULL, or refused, or points to a
 `shmlock_core_record`.
 */
shmlock_core_status shmlock_core_set_record(shmlock_core_t *lock,
                                            const shmlock_core_record *record);

/*
 Counts a boot of the core of `slot` in the roll of `len` bytes at `address`, and writes it to
 `boot`. From then on the boots before are proven over.

 Memory that is all zero becomes a roll.

 **Each start of a core calls this once, before it uses a lock; and no other party for it.** A
 core that calls it twice declares its own handles dead, and two owners are possible. Start-up
 code must not clear the roll, nor the regions beside it, while another party may use them.

 Never blocks; async-signal-safe; only the core of the slot.

 Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_BAD_SLOT`, `_ROLL_TOO_SHORT`,
 `_NOT_A_ROLL`, `_OTHER_ROLL_VERSION`. An error leaves `boot` and all boots of the roll
 unchanged.

 # Safety
 Unless the address is refused, `len` bytes at it are readable and writable, and are accessed by
 32-bit atomic operations only. Unless it is refused, `boot` points to a `shmlock_core_boot`.
 */
shmlock_core_status shmlock_core_begin_boot(void *address,
                                            size_t len,
                                            uint32_t slot,
                                            shmlock_core_boot *boot);

/*
 Writes to `boot` the present boot of a slot, or its last one if its core does not run. The
 number is 0 if none has begun.

 Never blocks; async-signal-safe; any caller.

 Returns the same as `shmlock_core_begin_boot`.

 # Safety
 That of `shmlock_core_begin_boot`.
 */
shmlock_core_status shmlock_core_last_boot(void *address,
                                           size_t len,
                                           uint32_t slot,
                                           shmlock_core_boot *boot);

/*
 Declares a boot over, for a core that does not come back by itself. A boot that is begun later
 lives all the same.

 **The caller has called `shmlock_core_last_boot` first, and then found that the core does not
 run**: it is held in reset, its power is off, its clock is stopped for good. One supervisor a
 slot. An error of the supervisor makes two owners possible.

 Never blocks; async-signal-safe; only the supervisor of the slot.

 Returns the same as `shmlock_core_begin_boot`; `_BAD_TOKEN` if the number of the boot is 0.

 # Safety
 For the roll: that of `shmlock_core_begin_boot`. Unless it is refused, `boot` points to a
 `shmlock_core_boot`.
 */
shmlock_core_status shmlock_core_retire_boot(void *address,
                                             size_t len,
                                             const shmlock_core_boot *boot);

/*
 Attaches `lock` to the `len` bytes at `address`, as `shmlock_core_attach` does, with the token
 of the present boot of this core.

 If an earlier boot left the lock held, it is free then, `shmlock_core_owes_wake` answers for the
 waiters, and the next owner is told by `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 A region has either plain tokens or those of boots. **One handle a region and boot**: another
 one would take the hold of the first for that of an earlier boot.

 Never blocks; async-signal-safe; only the core that began the boot.

 Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_PLAIN_TOKENS`, `_BAD_SLOT`, `_BAD_TOKEN` if the number of the boot is 0,
 `_BAD_SCOPE`. An error leaves the handle and the memory unchanged.

 # Safety
 For `lock` and the memory: that of `shmlock_core_attach`. Unless it is refused, `boot` points to
 a `shmlock_core_boot`.
 */
shmlock_core_status shmlock_core_attach_boot(shmlock_core_t *lock,
                                             void *address,
                                             size_t len,
                                             const shmlock_core_boot *boot,
                                             uint32_t fence_scope);

/*
 Acquires the lock as `shmlock_core_acquire` does, or recovers it from an owner whose boot is
 over, by the roll of `roll_len` bytes at `roll`. It looks at the roll after each wait.

 Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the contender
 that uses the handle.

 If it gives up, check `shmlock_core_owes_wake`.

 Returns the same as `shmlock_core_try_acquire`, and for the roll the same as
 `shmlock_core_begin_boot`; `_PLAIN_TOKENS` for a lock without tokens of boots, whose owners the
 roll does not know.

 # Safety
 That of `shmlock_core_acquire`; for the roll that of `shmlock_core_begin_boot`.
 */
shmlock_core_status shmlock_core_acquire_or_recover(shmlock_core_t *lock,
                                                    void *roll,
                                                    size_t roll_len,
                                                    uint32_t waits,
                                                    shmlock_core_wait_fn wait,
                                                    void *context);

/*
 Attaches `lock` to the `len` bytes at `address`, a ticket lock of `parties`, as the party
 `party`. It holds nothing yet.

 A ticket lock needs loads, stores and barriers only. It is for memory on which compare-and-swap
 does not work between the parties: many uncached mappings, RAM between different cores. The
 memory has `SHMLOCK_CORE_REGION_LEN` bytes, and `SHMLOCK_CORE_TICKET_LINE_LEN` more for each
 party. If it is all zero, the magic word is written, and nothing else. The previous content of
 `lock` is overwritten; detach a handle before attaching it again.

 **Give each party its own number** from 1 to `parties`: each core, each operating system. All of
 them use the same `parties`, 2 to 8, and the same `fence_scope`; between bus masters
 `SHMLOCK_CORE_FULL_SYSTEM`.

 Never blocks; async-signal-safe; any caller.

 Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`, `_BAD_PARTY`, `_BAD_SCOPE`. An error leaves
 the handle and the memory unchanged.

 # Safety
 `lock` points to a `shmlock_core_ticket_t` that no other code uses meanwhile. Unless the address
 is refused, `len` bytes at it are readable and writable until the handle is detached, and are
 accessed by 32-bit atomic loads and stores only. (Foreign *values* there can harm nothing but
 the lock.) If they are a mapped file, it is not truncated.
 */
shmlock_core_status shmlock_core_ticket_attach(shmlock_core_ticket_t *lock,
                                               void *address,
                                               size_t len,
                                               uint32_t parties,
                                               uint32_t party,
                                               uint32_t fence_scope);

/*
 Begins a new life of this party: clears what an earlier one left in the lock. If that one died
 in its critical section, the next owner receives `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 Call it at boot, before other parties have to wait for this one. The first acquisition of a
 handle does it otherwise.

 Never blocks; async-signal-safe; only the party itself.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_ALREADY_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_begin_life(shmlock_core_ticket_t *lock);

/*
 Releases every hold of a handle and detaches it.

 Never blocks; async-signal-safe; only the party itself.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`: nothing
 was changed.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_detach(shmlock_core_ticket_t *lock);

/*
 Acquires the lock if it is free or already held by this handle. It may fail, too, if another
 party tries at the same time.

 Never blocks; async-signal-safe; only the party itself.

 Holds nest: each acquisition needs one release.

 Returns `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: acquired. Not acquired: `_BUSY`;
 `_NESTING_TOO_DEEP`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_try_acquire(shmlock_core_ticket_t *lock);

/*
 Acquires the lock, calling `wait(context, ..)` after each look at a party in the way, at most
 `waits` times. Without a callback (NULL) it spins. First come, first served. A party that has
 been buried (`shmlock_core_ticket_bury`) is passed.

 In the callback's argument, `owner` is the party in the way, and `word` is a word that this
 party will change. `shmlock_core_set_waiters` changes nothing: the callback sleeps for an
 interval, or until the releasing party rings (`shmlock_core_ticket_has_waiters`).

 **The callback does not fork**, nor a signal handler that interrupts the call: the child would
 give up the place of its parent, and then two owners are possible.

 Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the party
 itself.

 Returns the same as `shmlock_core_ticket_try_acquire`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`. `wait` is NULL, or meets `shmlock_core_wait_fn` and
 accepts `context`.
 */
shmlock_core_status shmlock_core_ticket_acquire(shmlock_core_ticket_t *lock,
                                                uint32_t waits,
                                                shmlock_core_wait_fn wait,
                                                void *context);

/*
 Acquires the lock as `shmlock_core_ticket_acquire` does, and passes the parties that
 `is_dead(proof_context, party)` proves dead. If a dead party held the lock, the result is
 `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 After each wait, `is_dead` is asked about the party in the way. So each dead party takes a wait,
 or two if it died while it drew its number. The proof may end with the call of `is_dead`: a
 party that starts again afterwards is not robbed, but waits for this one. Nothing is stored for
 the dead party: other waiters need a proof of their own, or a burial
 (`shmlock_core_ticket_bury`).

 **The owner record of the dead party can be read until this call returns**: `is_dead` may call
 `shmlock_core_ticket_inspect`. Neither callback uses the handle (`SHMLOCK_CORE_STATUS_IN_USE`),
 and neither forks.

 Blocks as long as `wait` and `is_dead` do, `waits` times; async-signal-safe if both are; only
 the party itself.

 Returns the same as `shmlock_core_ticket_try_acquire`; `_NULL`, too, without `is_dead`.

 # Safety
 That of `shmlock_core_ticket_acquire`. `is_dead` is NULL, or meets `shmlock_core_is_dead_fn` and
 accepts `proof_context`.
 */
shmlock_core_status shmlock_core_ticket_acquire_or_recover(shmlock_core_ticket_t *lock,
                                                           shmlock_core_is_dead_fn is_dead,
                                                           void *proof_context,
                                                           uint32_t waits,
                                                           shmlock_core_wait_fn wait,
                                                           void *context);

/*
 Acquires the lock if it is free, already held by this handle, or only the party `dead` is in the
 way, **which the caller knows to be dead**.

 The proof is the caller's: a core held in reset, a process that `waitpid` has returned. From
 before the call until after it, the party stays dead and its stores have ended: the core is not
 started. A wrong proof makes two owners. (The proof of a callback may be shorter:
 `shmlock_core_ticket_acquire_or_recover`.)

 The owner record of the dead party can be read before the call, by
 `shmlock_core_ticket_inspect`.

 Never blocks; async-signal-safe; only the party itself.

 Returns the same as `shmlock_core_ticket_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if
 `dead` held the lock, or if the data was not declared consistent after an earlier death; `_BUSY`
 if another party is in the way. `_BAD_PARTY` if the lock has no party `dead`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_take_over(shmlock_core_ticket_t *lock, uint32_t dead);

/*
 Releases one hold. After the last release, the lock is free.

 Never blocks; async-signal-safe; only the party itself. It wakes no waiter: see
 `shmlock_core_ticket_has_waiters`.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_release(shmlock_core_ticket_t *lock);

/*
 Returns `true` if another party contends now. Asked after a release, it tells whether to ring:
 an interrupt to the other core, or an event. A dead party contends, too, until it comes back.

 Never blocks; async-signal-safe; only the party itself. Returns `false` for a handle that is not
 attached or in use.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
bool shmlock_core_ticket_has_waiters(const shmlock_core_ticket_t *lock);

/*
 Returns `true` if this handle holds the lock. Returns `false` for a handle that is not attached
 or in use.

 Never blocks; async-signal-safe; only the party itself.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
bool shmlock_core_ticket_is_held(const shmlock_core_ticket_t *lock);

/*
 Writes to `number` the fencing token of the current hold, as `shmlock_core_fencing_token` does.

 Never blocks; async-signal-safe; only the party itself.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`. Unless it is refused, `number` points to a `uint64_t`.
 */
shmlock_core_status shmlock_core_ticket_fencing_token(const shmlock_core_ticket_t *lock,
                                                      uint64_t *number);

/*
 Declares the protected data consistent after a death: later owners do not receive
 `SHMLOCK_CORE_STATUS_OWNER_DIED` any more.

 Never blocks; async-signal-safe; only the party itself, while it holds the lock.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`.
 */
shmlock_core_status shmlock_core_ticket_declare_consistent(shmlock_core_ticket_t *lock);

/*
 Writes to `holder` the owner of the ticket lock of `parties` in the `len` bytes at `address`,
 without a handle or a party. Only reads the memory, so a debugger or a supervisor can call it at
 any time, and an `is_dead` callback during the call that asks it. The result may be out of date
 when the call returns.

 A dead owner is named until another party holds the lock, and again after that one's release;
 until it begins another life, or is buried. Its record can be read until another party acquires
 the lock.

 Never blocks; async-signal-safe; any caller.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`: `holder` is unchanged.

 # Safety
 Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
 accesses only. Unless it is refused, `holder` points to a `shmlock_core_holder`.
 */
shmlock_core_status shmlock_core_ticket_inspect(const void *address,
                                                size_t len,
                                                uint32_t parties,
                                                shmlock_core_holder *holder);

/*
 Sets the owner record of this handle: at once if it holds the lock, and from its next
 acquisition on. With NULL, others read only the number of its party.

 An acquisition then takes about thirty more stores if another party held the lock meanwhile.

 Never blocks; async-signal-safe; only the party itself.

 Returns `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; for `lock` `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`.

 # Safety
 For `lock`: see `shmlock_core_ticket_t`. `record` is NULL, or refused, or points to a
 `shmlock_core_record`.
 */
shmlock_core_status shmlock_core_ticket_set_record(shmlock_core_ticket_t *lock,
                                                   const shmlock_core_record *record);

/*
 Buries a party of the ticket lock of `parties` in the `len` bytes at `address`, if
 `is_dead(context, party)` returns `true`: the others do not wait for it any more, until it
 begins another life. If it died in its critical section, the next owner receives
 `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 **A party has one supervisor, and only that one calls this for it.** It need not keep the party
 from starting again: if the party starts during the call, the burial is of a life that is over.
 A wrong proof makes two owners. It needs no handle. Memory that is all zero becomes a lock.

 Blocks as long as `is_dead` does; async-signal-safe if it is.

 Returns `SHMLOCK_CORE_STATUS_OK`: buried; `_NOT_DEAD`; `_NULL`, also without a callback;
 `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`, `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`,
 `_BAD_PARTY`. An error buries nothing.

 # Safety
 For the memory: that of `shmlock_core_ticket_attach`, until the call returns. `is_dead` is NULL,
 or meets `shmlock_core_is_dead_fn` and accepts `context`.
 */
shmlock_core_status shmlock_core_ticket_bury(void *address,
                                             size_t len,
                                             uint32_t parties,
                                             uint32_t party,
                                             shmlock_core_is_dead_fn is_dead,
                                             void *context);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMLOCK_CORE_H */
