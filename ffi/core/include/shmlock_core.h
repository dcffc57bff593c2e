/*
 shmlock for C: a lock over any memory that two parties share, without an operating system.

 What the library cannot see, the caller promises:

 * Tokens. Each contender of a region has a token that no other living one has: each core, task,
   process, and each thread that contends by itself. Two handles with one token exclude nobody.
 * Fork. fork(2) copies a handle and its token, and the library knows no process. Give each
   handle a fork generation by `shmlock_core_set_fork_generation`: then every call answers
   SHMLOCK_CORE_STATUS_FORKED in a child. Without one, a child can acquire while its parent holds, and
   release what its parent holds. A child that wants the lock attaches a handle under a token of
   its own. A handle lies in memory that a child gets a copy of, never in memory that is shared
   with it; so a child of vfork(2), or of clone(2) with CLONE_VM, calls nothing.
 * The end of a process or a thread, and exec(3), release nothing: the lock stays held. Another
   contender takes over by `shmlock_core_take_over` when it has proof of the death, and the next one
   under the same token does by itself.
 * Threads. One thread uses a handle at a time. The thread that releases may be another than the
   one that acquired, if the handle was handed over. Two threads that contend have a handle and a
   token each.
 * Signal handlers and interrupt handlers. On the thread, task or core that uses a handle, a
   handler may call every function: one that interrupts a call is answered SHMLOCK_CORE_STATUS_IN_USE.
   One that comes between two calls does what the program would do there. A handler does not
   wait: what it waits for may be held by the code that it interrupts.
 * longjmp(3). A hold belongs to the handle, not to a function: a jump over the code that holds
   leaves the lock held. A jump out of a wait callback, or out of a handler that has interrupted
   a call, is not allowed. It leaves the handle in use for ever; attaching it anew under its
   token ends that, and the next acquisition answers SHMLOCK_CORE_STATUS_OWNER_DIED if the lock was
   held.
 * Memory. A region has 128 bytes from a multiple of 4 on. It is the same memory for all
   contenders, for as long as a handle is attached. Everybody accesses it by 32-bit atomic
   operations only. It is zero before its first use. A mapped file is not truncated meanwhile: an
   access beyond its end is a SIGBUS.
 * errno is neither read nor set. No function allocates, makes a system call, or uses
   thread-local storage.

 Made from ffi/core/src by cbindgen; a change is made there, and `bash ci/ffi.sh header` makes this file anew.
 ffi/core/README.md says how to build the library, PROTOCOL.md what stands in the memory.
 License: MIT or Apache-2.0.
 */

#ifndef SHMLOCK_CORE_H
#define SHMLOCK_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 Fence scope: for parties in one coherent domain, as the cores that run one operating system, or
 the tasks of one core.
 */
#define SHMLOCK_CORE_INNER_SHAREABLE 0

/*
 Fence scope: for memory shared with other bus masters, as another cluster, a Cortex-M beside a
 Cortex-A, a DSP. The fences order; they do not clean caches: map such memory non-cacheable or
 have hardware keep it coherent.
 */
#define SHMLOCK_CORE_FULL_SYSTEM 1

/*
 Bytes of a region. All zero is a free lock.
 */
#define SHMLOCK_CORE_REGION_LEN 128

/*
 A region starts at a multiple of this, in bytes. 64 is better: then all hot words share one
 cache line.
 */
#define SHMLOCK_CORE_REGION_ALIGN 4

/*
 The version of the layout in memory, as in `PROTOCOL.md`.
 */
#define SHMLOCK_CORE_LAYOUT_VERSION 1

/*
 The largest token that `shmlock_core_attach` takes; the smallest is 1.
 */
#define SHMLOCK_CORE_TOKEN_MAX 65535

/*
 What a call answers. Negative: an error, and nothing was changed unless the code says so. Not
 negative: it was done.

 The type is a 32-bit integer on every target, whatever the compiler does with enums
 (`-fshort-enums`).
 */
enum shmlock_core_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Done. Of a call that takes the lock: it is held.
     */
    SHMLOCK_CORE_STATUS_OK = 0,
    /*
     The lock **is held**, and an owner died holding it: nobody has declared the protected data
     consistent since. Look at the data, mend it, call `shmlock_core_declare_consistent`; release in
     any case.
     */
    SHMLOCK_CORE_STATUS_OWNER_DIED = 1,
    /*
     Somebody else holds the lock, and the attempts are used up or the callback gave up.
     */
    SHMLOCK_CORE_STATUS_BUSY = -1,
    /*
     A pointer is NULL that must not be.
     */
    SHMLOCK_CORE_STATUS_NULL = -2,
    /*
     A pointer is not aligned as its type demands; the region not to `SHMLOCK_CORE_REGION_ALIGN`.
     */
    SHMLOCK_CORE_STATUS_MISALIGNED = -3,
    /*
     The region has fewer than `SHMLOCK_CORE_REGION_LEN` bytes.
     */
    SHMLOCK_CORE_STATUS_TOO_SHORT = -4,
    /*
     The memory holds something other than a lock. Give the lock memory of its own, or clear it
     to zero if its content is garbage.
     */
    SHMLOCK_CORE_STATUS_NOT_A_LOCK = -5,
    /*
     The memory holds a lock of another layout version. Use one version on all sides.
     */
    SHMLOCK_CORE_STATUS_OTHER_VERSION = -6,
    /*
     A token out of its range.
     */
    SHMLOCK_CORE_STATUS_BAD_TOKEN = -7,
    /*
     Not one of the scopes `SHMLOCK_CORE_INNER_SHAREABLE`, `SHMLOCK_CORE_FULL_SYSTEM`.
     */
    SHMLOCK_CORE_STATUS_BAD_SCOPE = -8,
    /*
     The handle is not attached: it is zero, was detached, or is a copy of another.
     */
    SHMLOCK_CORE_STATUS_NOT_ATTACHED = -9,
    /*
     The handle is in the middle of another call: the caller is that call's wait callback, or a
     signal handler that interrupted it. Use a handle of its own there.
     */
    SHMLOCK_CORE_STATUS_IN_USE = -10,
    /*
     The handle does not hold the lock.
     */
    SHMLOCK_CORE_STATUS_NOT_HELD = -11,
    /*
     The owner word no longer names this handle, which has acquired the lock: somebody outside
     the protocol wrote to the region, or a forked child released the lock. After a release the
     handle holds nothing; the word was left as it is, for it may be another owner's by now.
     */
    SHMLOCK_CORE_STATUS_OVERWRITTEN = -12,
    /*
     The handle holds the lock 65534 times already.
     */
    SHMLOCK_CORE_STATUS_NESTING_TOO_DEEP = -13,
    /*
     A description that is not UTF-8, or without a NUL among its bytes.
     */
    SHMLOCK_CORE_STATUS_BAD_DESCRIPTION = -14,
    /*
     The handle is from before a fork: it is the parent's, and this is the child. Nothing was
     changed. Attach a handle under a token of its own here.
     */
    SHMLOCK_CORE_STATUS_FORKED = -15,
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
 A handle: one contender of one lock. Zero is a handle that is not attached. Its fields are
 nobody's but the library's.

 What every function demands of a `shmlock_core_t *`, and does with it, beside the contracts at the
 head of this file:

 * NULL and misaligned pointers are errors. Any other pointer leads to a `shmlock_core_t` that has
   been zero, as a static is, or has been attached by `shmlock_core_attach`.
 * One thread, task or core uses a handle at a time. Handing it over from one to another takes
   what the two use to hand over anything else.
 * A handle is neither copied nor moved while attached. A copy answers
   `SHMLOCK_CORE_STATUS_NOT_ATTACHED`.
 * A call from within another, by its wait callback or by a signal handler that interrupts it,
   answers `SHMLOCK_CORE_STATUS_IN_USE` and changes nothing. So every function is async-signal-safe,
   but for what a wait callback does.
 * The region outlives the handle, or the handle is detached first.
 */
typedef struct {
    uint32_t state;
    uint32_t busy;
    uint64_t space[24];
} shmlock_core_t;

/*
 What a wait callback is told. Valid until the callback returns.
 */
typedef struct {
    /*
     The token of the owner, as seen when the last attempt failed; 0 if the lock was free just
     then.
     */
    uint32_t owner;
    /*
     How many attempts have failed before this one; stops counting at 2^32 - 1.
     */
    uint32_t attempt;
    /*
     The word that changes when the lock does: what a futex sleeps on. Only ever read it,
     atomically.
     */
    const uint32_t *word;
    /*
     Private.
     */
    void *core;
} shmlock_core_wait_context;

/*
 How to let time pass: spin, yield, sleep, wait for a notification or a futex. Called after each
 failed attempt, with the context that the caller gave.

 Answers 0 to try again, anything else to give up. Whatever it does, it bounds its sleep by an
 interval of its own: **a wake is a hint**, for the owner may be unable to give one. It returns
 normally: no `longjmp`, no end of its thread by `pthread_exit(3)` or `pthread_cancel(3)`, no C++
 exception. It may not use the handle that is being acquired (`SHMLOCK_CORE_STATUS_IN_USE`).
 */
typedef int32_t (*shmlock_core_wait_fn)(void *context, shmlock_core_wait_context *contention);

/*
 What an owner says of itself. Leave zero what there is nothing to say about.
 */
typedef struct {
    /*
     Seconds of the clock since boot at which the present unbroken series of holds began.
     */
    uint64_t since;
    /*
     Process id, as the owner itself sees it. 0 where there are no processes.
     */
    uint32_t pid;
    /*
     Inode number of its pid namespace, 0 if unknown: in another namespace, `pid` means somebody
     else.
     */
    uint32_t pid_namespace;
    /*
     Names the owner, for ever: 16 bytes in order.
     */
    uint8_t uuid[16];
    /*
     Why, in the owner's words: at most 63 bytes of UTF-8 and a NUL. Text that was read may be
     hostile: escape it before it goes to a terminal.
     */
    char description[64];
} shmlock_core_record;

/*
 Who holds a lock.
 */
typedef struct {
    /*
     The owner's token. 0: nobody holds the lock.
     */
    uint32_t token;
    /*
     How many dead owners have been replaced so far, modulo 2^32.
     */
    uint32_t recoveries;
    /*
     An owner died, and nobody has declared the data consistent since.
     */
    bool owner_died;
    /*
     `record` is the owner's. False: it has none, or was just writing it; `record` is zero then.
     */
    bool recorded;
    /*
     What the owner says of itself.
     */
    shmlock_core_record record;
} shmlock_core_holder;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 A sentence about a status, in English, for logs. Any number is allowed. The text is static and
 never NULL.

 Never blocks; async-signal-safe; anybody may call it.
 */
const char *shmlock_core_message(int32_t status);

/*
 Whether the `len` bytes from `address` on are a lock, or zero and so could become one. Only
 reads.

 Never blocks; async-signal-safe; anybody may call it, whoever may only read as well.

 Answers `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`.

 # Safety
 Unless the address is refused, `len` bytes from it on can be read, and are written only by
 accesses of 32 bits.
 */
shmlock_core_status shmlock_core_check(const void *address, size_t len);

/*
 Makes `lock` a contender of the lock in the `len` bytes from `address` on, under `token`. It
 holds nothing yet.

 Memory that is all zero becomes a lock by having its magic word written; that is the only write.
 Whatever `lock` was before is overwritten; detach a handle before attaching it again.

 **Give each contender of a region its own token** from 1 to `SHMLOCK_CORE_TOKEN_MAX`: each core,
 task, process, boot loader. Two with one token exclude nobody. (So a core that restarts finds
 its own token in the lock, takes it over from its former life at its first acquisition, and is
 told by `SHMLOCK_CORE_STATUS_OWNER_DIED`.) All contenders of a region have one `fence_scope`:
 `SHMLOCK_CORE_INNER_SHAREABLE` or `SHMLOCK_CORE_FULL_SYSTEM`.

 Never blocks; async-signal-safe; anybody may call it.

 Answers `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_BAD_TOKEN`, `_BAD_SCOPE`. After an error neither the handle nor the memory
 has been touched.

 # Safety
 `lock` leads to a `shmlock_core_t` that nobody else uses meanwhile. Unless the address is refused,
 `len` bytes from it on can be read and written until the handle is detached, and are accessed
 only by atomic operations of 32 bits, by anybody. (What *values* somebody else writes there can
 do no more harm than to the lock.) If they are a mapped file, it is not truncated.
 */
shmlock_core_status shmlock_core_attach(shmlock_core_t *lock,
                                        void *address,
                                        size_t len,
                                        uint32_t token,
                                        uint32_t fence_scope);

/*
 Ends the use of a handle, gives back all that it holds, and leaves it zero as far as
 `shmlock_core_attach` is concerned.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_OVERWRITTEN`, and is detached nevertheless; `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`: it is attached still.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_detach(shmlock_core_t *lock);

/*
 Has every call on the handle compare the word at `generation` with its present value. Once they
 differ, each of them answers `SHMLOCK_CORE_STATUS_FORKED` and changes nothing. NULL ends that; so
 does attaching the handle anew.

 For programs that fork. A child has a copy of its parent's handle under the same token, and
 nothing else tells the two apart: the child could acquire while its parent holds, and release
 what its parent holds. So `generation` leads to a word that has another value in a child than in
 its parent, before anything of the child uses the handle:

 * a static word that a handler of `pthread_atfork(3)` increments in the child; or
 * a word that is not zero, on a page with `MADV_WIPEONFORK` (`madvise(2)`): it is zero in every
   child, also of a bare `clone(2)`.

 If a process forks in the middle of a call, in its wait callback or a signal handler, that call
 answers `SHMLOCK_CORE_STATUS_FORKED` in the child. The child of a signal handler does better not to
 return into the call, but to call `exec(3)` or `_exit(2)`: in the instant between two
 instructions it may take a free lock under its parent's token. Nobody is inside then, and the
 parent's next acquisition takes the lock over, with `SHMLOCK_CORE_STATUS_OWNER_DIED`.

 A child that wants the lock attaches a handle under a token of its own: another, or the same
 `shmlock_core_t`, whose copy is the child's.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_MISALIGNED`; of `lock` `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
 `_IN_USE`, `_FORKED`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`. `generation` is NULL or leads to an `uint32_t`
 that can be read until the handle is detached or attached anew, in the child as well, unless it
 is refused.
 */
shmlock_core_status shmlock_core_set_fork_generation(shmlock_core_t *lock,
                                                     const uint32_t *generation);

/*
 Takes the lock if it is free or already held by this handle.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Holds are counted: whoever has acquired twice releases twice.

 Answers `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: held. Not held: `_BUSY`; `_NESTING_TOO_DEEP`; `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`; `_OVERWRITTEN` if this handle had acquired
 the lock and the word names another.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_try_acquire(shmlock_core_t *lock);

/*
 Takes the lock, waiting by `wait(context, ..)` after each failed attempt, at most `waits` times.
 Zero is one attempt and no wait. Without a callback (NULL) it spins: some nanoseconds an
 attempt, right only for short sections on other cores.

 Blocks for as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the
 contender whose handle it is calls it. There is no order among contenders.

 If it gives up, look at `shmlock_core_owes_wake`.

 Answers as `shmlock_core_try_acquire`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`. `wait` is NULL or as `shmlock_core_wait_fn` says,
 and can take `context`.
 */
shmlock_core_status shmlock_core_acquire(shmlock_core_t *lock,
                                         uint32_t waits,
                                         shmlock_core_wait_fn wait,
                                         void *context);

/*
 Takes the lock if it is free, already held by this handle, or held by the owner `dead`, **whom
 the caller knows to be dead**.

 The proof is the caller's: a core held in reset, a process that `waitpid` has returned, a task
 that was deleted. It must hold from before the call until after it, and so must this: nobody is
 given the token `dead` meanwhile (the core is not started, the process not replaced). A wrong
 proof makes two owners.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Answers as `shmlock_core_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if it took over, or if an earlier
 death is not declared mended; `_BUSY` if another than `dead` holds the lock. `_BAD_TOKEN` if
 `dead` is no token.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_take_over(shmlock_core_t *lock,
                                           uint32_t dead);

/*
 For wait callbacks that sleep until they are woken: asks the owner for a wake at its release
 (`shmlock_core_owes_wake`).

 Writes to `marked` the value on which to sleep: `futex(2)` with `FUTEX_WAIT` on
 `contention->word`, or any wait that ends at once if the word has another value. Never blocks;
 async-signal-safe; only the callback calls it, before it returns.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_BUSY` if the word changed meanwhile: do not sleep, return 0;
 `_NULL`, `_MISALIGNED`.

 # Safety
 `contention` is what the callback was given, and `marked` leads to an `uint32_t`, unless they
 are refused.
 */
shmlock_core_status shmlock_core_mark_waiting(shmlock_core_wait_context *contention,
                                              uint32_t *marked);

/*
 Gives back one hold. When all are given back, the lock is free.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it. ARM cores that
 wait for an event (`wfe`) are sent one if somebody waits; other wakes are the caller's: see
 `shmlock_core_owes_wake`.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`; `_NULL`, `_MISALIGNED`,
 `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_release(shmlock_core_t *lock);

/*
 Whether the last release of this handle, or the last acquire that gave up if that came later,
 left somebody to be woken who has marked itself by `shmlock_core_mark_waiting`, or sleeps in the
 Linux library's futex.

 Wake one of them then: `futex(2)` with `FUTEX_WAKE` on the region's first word, a task
 notification, an interrupt to the other core. Where there is no such means, leave it: sleepers
 look again after their own interval.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it. False for a
 handle that is not attached, in use, or a parent's.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
bool shmlock_core_owes_wake(const shmlock_core_t *lock);

/*
 Whether this handle has acquired the lock, and the word names it still. False for a handle that
 is not attached, in use, or a parent's.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
bool shmlock_core_is_held(const shmlock_core_t *lock);

/*
 Writes to `number` the fencing token of the present hold: it grows with every acquisition of
 this lock by anybody. Hand it to whatever the lock protects, which can then refuse a late-comer.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`,
 `_FORKED`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`. `number` leads to an `uint64_t`, unless it is
 refused.
 */
shmlock_core_status shmlock_core_fencing_token(const shmlock_core_t *lock, uint64_t *number);

/*
 Says that the protected data is consistent again after a death: later owners are not told of it
 any more.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it, while it holds
 the lock.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`, and the handle still holds; `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`.
 */
shmlock_core_status shmlock_core_declare_consistent(shmlock_core_t *lock);

/*
 Says who holds the lock in the `len` bytes from `address` on, without a handle or a token. Only
 reads, so a debugger, a supervisor, or whoever may only read can call it at any time. By the
 time the answer is read it may be different.

 Never blocks; async-signal-safe; anybody may call it.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
 `_OTHER_VERSION`, `_BAD_SCOPE`: nothing was written to `holder` then.

 # Safety
 As `shmlock_core_check`. `holder` leads to a `shmlock_core_holder`, unless it is refused.
 */
shmlock_core_status shmlock_core_inspect(const void *address,
                                         size_t len,
                                         uint32_t fence_scope,
                                         shmlock_core_holder *holder);

/*
 Sets what others read of this handle while it holds the lock: at once if it holds it now, and
 from its next acquisition on. With NULL, they read no more than its token.

 It costs an acquisition some thirty stores whenever the lock has been somebody else's meanwhile.

 Never blocks; async-signal-safe; only the contender whose handle it is calls it.

 Answers `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; of `lock` `_NULL`,
 `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.

 # Safety
 As every function's, of `lock`: see `shmlock_core_t`. `record` is NULL or leads to a
 `shmlock_core_record`, unless it is refused.
 */
shmlock_core_status shmlock_core_set_record(shmlock_core_t *lock,
                                            const shmlock_core_record *record);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMLOCK_CORE_H */
