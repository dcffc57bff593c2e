/*
 shmlock for C++11 and later: `shmlock::mutex`, which std::unique_lock, std::lock_guard and
 std::scoped_lock take. Header only, over shmlock.h.

     shmlock::mutex mutex("conveyor");
     {
         std::unique_lock<shmlock::mutex> guard(mutex, std::chrono::seconds(1));
         if (!guard)
             return;                             // the holder keeps it longer
         if (mutex.recovered()) {                // an owner died holding it
             repair_the_data();
             mutex.declare_consistent();
         }
         use_the_data();
     }

 It meets the requirements of TimedLockable; it is recursive. A mutex is one contender: each thread
 has its own. Two mutexes of one name are not passed to one std::scoped_lock, which would try for
 ever. License: MIT or Apache-2.0.
 */

#ifndef SHMLOCK_HPP
#define SHMLOCK_HPP

#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "shmlock.h"

namespace shmlock {

/* A call that failed: the text says what happened, to what, and what to do. */
class error : public std::runtime_error {
public:
    explicit error(const shmlock_error &details)
        : std::runtime_error(details.text), details_(details)
    {
    }

    /* The status, the errno, and the holder that kept the lock from the caller. */
    const shmlock_error &details() const noexcept { return details_; }
    shmlock_status status() const noexcept { return details_.status; }

private:
    shmlock_error details_;
};

/* Returns a name as C has it. Throws `shmlock::error` for one with a NUL: C would see another. */
inline const char *checked(const std::string &name)
{
    if (name.find('\0') == std::string::npos)
        return name.c_str();
    shmlock_error details = shmlock_error();
    details.status = SHMLOCK_STATUS_INVALID_NAME;
    std::strncat(details.text, shmlock_message(details.status), sizeof(details.text) - 1);
    throw error(details);
}

/* An exit event, `shmlock_event_t`: a switch that ends waits. Any number of threads may use it. */
class event {
public:
    /* An event of this process alone. */
    event() { open(nullptr); }

    /* The event that every process reaches by this name. */
    explicit event(const std::string &name) { open(checked(name)); }

    event(const event &) = delete;
    event &operator=(const event &) = delete;
    ~event() { shmlock_event_close(&event_, nullptr); }

    /* Never blocks; async-signal-safe. */
    void set() noexcept { shmlock_event_set(&event_, nullptr); }
    void clear() noexcept { shmlock_event_clear(&event_, nullptr); }
    bool is_set() const noexcept { return shmlock_event_is_set(&event_); }
    const shmlock_event_t *get() const noexcept { return &event_; }

private:
    void open(const char *name)
    {
        shmlock_error details;
        if (shmlock_event_open(&event_, name, nullptr, 0, &details) < 0)
            throw error(details);
    }

    shmlock_event_t event_ = SHMLOCK_INIT;
};

/* One contender of the lock of a name. Each call that waits throws `shmlock::error` if the wait is
   ended by anything but the lock or the timeout. */
class mutex {
public:
    explicit mutex(const std::string &name) { open(name, nullptr); }

    mutex(const std::string &name, const shmlock_options &options) { open(name, &options); }

    mutex(const mutex &) = delete;
    mutex &operator=(const mutex &) = delete;

    /* Closes the handle, and releases its holds. */
    ~mutex() { shmlock_close(&lock_, nullptr); }

    /* Acquires the lock, waiting for as long as it takes. */
    void lock()
    {
        shmlock_error details;
        if (shmlock_lock(&lock_, &details) < 0)
            throw error(details);
    }

    /* Tries once. Does not wait for the owner. */
    bool try_lock()
    {
        shmlock_error details;
        return acquired(shmlock_try(&lock_, &details), details);
    }

    /* Acquires the lock, waiting at most so long. */
    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        shmlock_error details;
        return acquired(shmlock_lock_for(&lock_, nanoseconds(timeout), &details), details);
    }

    /* Acquires the lock, waiting until this time at most, by whatever clock. */
    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &end)
    {
        for (;;) {
            shmlock_error details;
            const auto timeout = nanoseconds_until(end);
            if (acquired(shmlock_lock_for(&lock_, timeout, &details), details))
                return true;
            /* A clock that is set back, or is slower than ours, has time left. */
            if (nanoseconds_until(end) == 0)
                return false;
        }
    }

    /* Releases one hold. A lock that is not held, or was overwritten, is no error here: a guard's
       destructor calls it. `release` tells. */
    void unlock() noexcept { shmlock_release(&lock_, nullptr); }

    /* Releases one hold. */
    void release()
    {
        shmlock_error details;
        if (shmlock_release(&lock_, &details) < 0)
            throw error(details);
    }

    /* Returns true while the data may be inconsistent: an owner died, and this handle has the
       lock. `dead` gets the known facts about that owner. */
    bool recovered(shmlock_holder *dead = nullptr) const noexcept
    {
        shmlock_holder unused;
        return shmlock_recovered(&lock_, dead != nullptr ? dead : &unused, nullptr) ==
               SHMLOCK_STATUS_OK;
    }

    /* Declares the data consistent after a death. */
    void declare_consistent()
    {
        shmlock_error details;
        if (shmlock_declare_consistent(&lock_, &details) < 0)
            throw error(details);
    }

    /* Returns a number that grows with every acquisition; 0 if this handle does not hold it. */
    std::uint64_t fencing_token() const noexcept
    {
        std::uint64_t token = 0;
        return shmlock_fencing_token(&lock_, &token, nullptr) < 0 ? 0 : token;
    }

    bool is_held() const noexcept { return shmlock_is_held(&lock_); }

    /* The handle, for the functions of shmlock.h. */
    shmlock_t *native_handle() noexcept { return &lock_; }

private:
    void open(const std::string &name, const shmlock_options *options)
    {
        shmlock_error details;
        if (shmlock_open(&lock_, checked(name), options, &details) < 0)
            throw error(details);
    }

    static bool acquired(shmlock_status status, const shmlock_error &details)
    {
        if (status == SHMLOCK_STATUS_BUSY || status == SHMLOCK_STATUS_TIMED_OUT)
            return false;
        if (status < 0)
            throw error(details);
        return true;
    }

    /* Any duration will do: one that is too long is as long as can be, and one below zero is one
       try. */
    template <class Rep, class Period>
    static std::uint64_t nanoseconds(const std::chrono::duration<Rep, Period> &timeout)
    {
        using seconds = std::chrono::duration<double>;
        if (timeout <= timeout.zero())
            return 0;
        if (std::chrono::duration_cast<seconds>(timeout) >= seconds(9e9))
            return (std::numeric_limits<std::uint64_t>::max)();
        const auto exact = std::chrono::duration_cast<std::chrono::nanoseconds>(timeout);
        return static_cast<std::uint64_t>(exact.count()) + (exact < timeout ? 1 : 0);
    }

    /* The time until `end`: zero if it has passed, and a year at most, so that neither end of any
       clock's range overflows. */
    template <class Clock, class Duration>
    static std::uint64_t nanoseconds_until(const std::chrono::time_point<Clock, Duration> &end)
    {
        using seconds = std::chrono::duration<double>;
        const auto now = Clock::now();
        const seconds year(366 * 86400.0);
        const seconds left = seconds(end.time_since_epoch()) - seconds(now.time_since_epoch());
        if (left <= -year) /* also for no number: a comparison with it says `true` */
            return 0;
        if (left >= year)
            return nanoseconds(year);
        return nanoseconds(end - now);
    }

    shmlock_t lock_ = SHMLOCK_INIT;
};

} /* namespace shmlock */

#endif /* SHMLOCK_HPP */
