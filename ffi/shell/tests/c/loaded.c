/*
 Loads the library, waits for a lock so that its thread starts, and unloads it: the library stays,
 and its handlers of fork(2) and exit(3) can run. Called by ci/ffi_shell.sh. Prints:

     loaded, used, unloaded
     a child of fork(2) ended well
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmlock.h>

static void *library;

/* The address of a function of the library. The types of the header fit. */
static void *function(const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "loaded: no %s\n", name);
        exit(1);
    }
    return found;
}

static __typeof__(shmlock_open) *open_lock;
static __typeof__(shmlock_close) *close_lock;
static __typeof__(shmlock_lock) *lock;
static __typeof__(shmlock_lock_for) *lock_for;
static __typeof__(shmlock_install_exit_handlers) *install_handlers;

/* By this thread a wait of the other would be a deadlock, which the library notices. */
static void *hold(void *holder)
{
    if (lock(holder, NULL) < 0)
        exit(2);
    return NULL;
}

static void use(void)
{
    shmlock_t holder = SHMLOCK_INIT, waiter = SHMLOCK_INIT;
    shmlock_error error;
    pthread_t other;
    char name[64];
    *(void **)&open_lock = function("shmlock_open");
    *(void **)&close_lock = function("shmlock_close");
    *(void **)&lock = function("shmlock_lock");
    *(void **)&lock_for = function("shmlock_lock_for");
    *(void **)&install_handlers = function("shmlock_install_exit_handlers");

    snprintf(name, sizeof name, "shmlock-loaded-%ld", (long)getpid());
    if (install_handlers(SHMLOCK_AT_EXIT | SHMLOCK_AT_SIGNALS, 0, &error) < 0 ||
        open_lock(&holder, name, NULL, &error) < 0 || open_lock(&waiter, name, NULL, &error) < 0) {
        fprintf(stderr, "loaded: %s\n", error.text);
        exit(1);
    }
    if (pthread_create(&other, NULL, hold, &holder) != 0 || pthread_join(other, NULL) != 0)
        exit(1);
    if (lock_for(&waiter, 20 * 1000 * 1000, &error) != SHMLOCK_STATUS_TIMED_OUT)
        exit(3);
    pid_t child = fork();
    if (child == 0)
        _exit(lock_for(&waiter, 1, &error) == SHMLOCK_STATUS_FORKED ? 0 : 3);
    int status = 1;
    if (waitpid(child, &status, 0) != child || status != 0)
        exit(4);
    if (close_lock(&holder, &error) < 0 || close_lock(&waiter, &error) < 0)
        exit(5);
}

int main(int argc, char **argv)
{
    if (argc != 2 || (library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) == NULL) {
        fprintf(stderr, "loaded: %s\n", argc == 2 ? dlerror() : "usage: loaded LIBRARY");
        return 1;
    }
    use();
    if (dlclose(library) != 0)
        return 1;
    printf("loaded, used, unloaded\n");
    fflush(stdout);
    pid_t child = fork(); /* runs the library's handlers */
    if (child == 0)
        exit(0); /* and these */
    int status = 1;
    if (waitpid(child, &status, 0) != child || status != 0)
        return 1;
    printf("a child of fork(2) ended well\n");
    return 0;
}
