/* Uses both libraries for C in one program. Called by ci/ffi_shell.sh. */

#include <stdio.h>
#include <unistd.h>

#include <shmlock.h>
#include <shmlock_core.h>

int main(void)
{
    static uint32_t region[SHMLOCK_CORE_REGION_LEN / 4];
    static shmlock_core_t core;
    shmlock_t lock = SHMLOCK_INIT;
    char name[64];
    snprintf(name, sizeof name, "shmlock-both-%ld", (long)getpid());
    if (shmlock_core_attach(&core, region, sizeof region, 1, SHMLOCK_CORE_INNER_SHAREABLE) < 0 ||
        shmlock_open(&lock, name, NULL, NULL) < 0)
        return 1;
    if (shmlock_core_try_acquire(&core) < 0 || shmlock_lock(&lock, NULL) < 0)
        return 2;
    if (shmlock_core_release(&core) < 0 || shmlock_close(&lock, NULL) < 0)
        return 3;
    return 0;
}
