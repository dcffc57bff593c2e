/*
 The lock with the guards of C++. Expected output:

     a guard holds it: 1
     another handle waits for a millisecond: 0
     two locks at once: 1 1
     an event that is set ends a wait: waiting for the lock was ended by its event
     after all guards: 0
 */

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include <unistd.h>

#include <shmlock.hpp>

int main()
try {
    const std::string name = "shmlock-guards-" + std::to_string(getpid());
    shmlock::mutex mutex(name), other(name + "-other");
    {
        std::unique_lock<shmlock::mutex> guard(mutex);
        std::printf("a guard holds it: %d\n", mutex.is_held());
        std::thread([&] {
            shmlock::mutex second(name);
            std::unique_lock<shmlock::mutex> late(second, std::chrono::milliseconds(1));
            std::printf("another handle waits for a millisecond: %d\n", late.owns_lock());
            const auto now = std::chrono::system_clock::now();
            if (second.try_lock() || second.try_lock_until(now + std::chrono::microseconds(1)))
                std::printf("two owners\n");
        }).join();
    }
    {
        std::unique_lock<shmlock::mutex> one(mutex, std::defer_lock), two(other, std::defer_lock);
        std::lock(one, two);
        std::printf("two locks at once: %d %d\n", mutex.is_held(), other.is_held());
#if __cplusplus >= 201703L
        std::scoped_lock<shmlock::mutex, shmlock::mutex> both(mutex, other); /* it nests */
#endif
    }
    {
        shmlock::event stop;
        shmlock_options options = SHMLOCK_OPTIONS_INIT;
        options.exit_event = stop.get();
        shmlock::mutex waiter(name, options);
        stop.set();
        std::lock_guard<shmlock::mutex> guard(mutex);
        std::thread([&] {
            try {
                waiter.lock();
            } catch (const shmlock::error &error) {
                const bool is_cancelled = error.status() == SHMLOCK_STATUS_CANCELLED;
                std::printf("an event that is set ends a wait: %s\n",
                            is_cancelled ? "waiting for the lock was ended by its event"
                                         : error.what());
            }
        }).join();
    }
    std::printf("after all guards: %d\n", mutex.is_held());
    return 0;
} catch (const shmlock::error &error) {
    std::fprintf(stderr, "guards: %s\n", error.what());
    return 1;
}
