/*
 Timeouts and deadlines at both ends of their ranges, names that C would cut, and guards of a lock
 whose owner died. Prints:

     held: 12 timeouts and deadlines in the past, none waits
     held: a deadline of a clock that runs at half the speed is waited for
     free: 6 timeouts and deadlines without an end, all acquire
     the guard of a scope that is left by an exception has released the lock
     an owner died: two locks by one scoped_lock, told by the one alone
     a guard that was moved from owns nothing, the other does
     a name with a NUL: the name cannot be a file name
     an event with a NUL in its name: the name cannot be a file name
 */

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <shmlock.hpp>

using namespace std::chrono;
using floating = duration<double>;

static void check(bool is_as_expected, const char *what)
{
    if (!is_as_expected) {
        std::fprintf(stderr, "guards_edges: %s\n", what);
        std::exit(1);
    }
}

/* A clock that runs at half the speed of the steady one, and began far below zero. */
struct slow {
    using duration = nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<slow>;
    static constexpr bool is_steady = true;
    static time_point now()
    {
        return time_point(steady_clock::now().time_since_epoch() / 2 - hours(24 * 365 * 200));
    }
};

template <class Clock, class Duration> using at = std::chrono::time_point<Clock, Duration>;

static void past(shmlock::mutex &held)
{
    int refused = 0;
    const auto begin = steady_clock::now();
    refused += !held.try_lock_for(seconds(0));
    refused += !held.try_lock_for(nanoseconds::min());
    refused += !held.try_lock_for(hours::min());
    refused += !held.try_lock_for(floating(-INFINITY));
    refused += !held.try_lock_for(floating(NAN));
    refused += !held.try_lock_for(duration<long long, std::femto>(1));
    refused += !held.try_lock_until(steady_clock::time_point::min());
    refused += !held.try_lock_until(system_clock::time_point::min());
    refused += !held.try_lock_until(at<system_clock, hours>::min());
    refused += !held.try_lock_until(system_clock::now() - hours(1));
    refused += !held.try_lock_until(slow::time_point::min());
    refused += !held.try_lock_until(at<steady_clock, floating>(floating(NAN)));
    check(steady_clock::now() - begin < seconds(30), "a deadline in the past was waited for");
    std::printf("held: %d timeouts and deadlines in the past, none waits\n", refused);

    const auto end = slow::now() + milliseconds(2);
    check(!held.try_lock_until(end) && slow::now() >= end, "a wait ended too early");
    std::puts("held: a deadline of a clock that runs at half the speed is waited for");
}

static void future(shmlock::mutex &free)
{
    int acquired = 0;
    const auto count = [&](bool was_acquired) {
        acquired += was_acquired;
        free.release();
    };
    count(free.try_lock_for(nanoseconds::max()));
    count(free.try_lock_for(hours::max()));
    count(free.try_lock_for(floating(INFINITY)));
    count(free.try_lock_until(steady_clock::time_point::max()));
    count(free.try_lock_until(at<steady_clock, hours>::max()));
    count(free.try_lock_until(slow::time_point::max()));
    std::printf("free: %d timeouts and deadlines without an end, all acquire\n", acquired);
}

/* Has a process die that holds the lock of this name. */
static void die_holding(const std::string &name)
{
    const pid_t child = fork();
    if (child == 0) {
        shmlock::mutex mutex(name);
        mutex.lock();
        _exit(0); /* without a destructor */
    }
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0, "the owner failed");
}

template <class Open> static void refused(const char *what, const Open &open)
{
    try {
        open();
        check(false, "a name with a NUL was opened");
    } catch (const shmlock::error &error) {
        check(error.status() == SHMLOCK_STATUS_INVALID_NAME, "another status");
        std::printf("%s: %s\n", what, error.what());
    }
}

int main()
{
    const std::string name = "shmlock-edges-" + std::to_string(getpid());
    shmlock::mutex one(name + "-1"), other(name + "-1"), two(name + "-2");
    std::setbuf(stdout, nullptr);

    one.lock();
    std::thread(past, std::ref(other)).join();
    one.unlock();
    future(other);

    try {
        std::unique_lock<shmlock::mutex> guard(one);
        throw 1;
    } catch (int) {
        check(!one.is_held() && other.try_lock(), "it is held");
        other.unlock();
        std::puts("the guard of a scope that is left by an exception has released the lock");
    }

    die_holding(name + "-2");
    {
        std::scoped_lock<shmlock::mutex, shmlock::mutex> both(one, two);
        check(!one.recovered() && two.recovered(), "not told");
        std::puts("an owner died: two locks by one scoped_lock, told by the one alone");
    }
    std::unique_lock<shmlock::mutex> guard(two);
    check(two.recovered(), "not told again");
    two.declare_consistent();
    std::unique_lock<shmlock::mutex> moved(std::move(guard));
    check(!guard.owns_lock() && moved.owns_lock() && two.is_held(), "the guards");
    moved = std::unique_lock<shmlock::mutex>();
    check(!two.is_held(), "the guard that was replaced keeps the lock");
    std::puts("a guard that was moved from owns nothing, the other does");

    refused("a name with a NUL", [&] { shmlock::mutex mutex(name + std::string("\0x", 2)); });
    refused("an event with a NUL in its name",
            [&] { shmlock::event event(name + std::string("\0x", 2)); });
    return 0;
}
