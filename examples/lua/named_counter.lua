-- Increments the number in a file under the named lock, through libshmlock.so.1 and LuaJIT's
-- foreign-function interface.
--
--     luajit named_counter.lua FILE [INCREMENTS]
--
-- It shares the lock with examples/c/named_counter.c and with the Rust example `counter`: they may
-- count in one file together.

local ffi = require "ffi"

-- Of shmlock.h. LuaJIT moves no struct, and fills a new one with zeros, as `shmlock_t` needs it.
ffi.cdef [[
typedef struct { uint32_t state, reserved; void *content; uint64_t more[2]; } shmlock_t;
typedef struct {
    int32_t status, errnum;
    uint32_t holder_pid, holder_seconds;
    uint64_t reserved[4];
    char text[464];
} shmlock_error;
int32_t shmlock_open(shmlock_t *, const char *name, const void *options, shmlock_error *);
int32_t shmlock_lock(shmlock_t *, shmlock_error *);
int32_t shmlock_release(shmlock_t *, shmlock_error *);
int32_t shmlock_close(shmlock_t *, shmlock_error *);
]]

local library = ffi.load "libshmlock.so.1"
local details = ffi.new "shmlock_error"

-- Raises what the library says of a call that has failed.
local function check(status)
    if status < 0 then error(ffi.string(details.text), 2) end
end

-- Returns the number in the file; a file that does not exist has 0.
local function number_in(path)
    local file = io.open(path)
    if not file then return 0 end
    local number = file:read "*n" or 0
    file:close()
    return number
end

local function write_number(path, number)
    local file = assert(io.open(path, "w"))
    assert(file:write(number))
    assert(file:close())
end

local path = assert(arg[1], "usage: named_counter.lua FILE [INCREMENTS]")
local lock = ffi.new "shmlock_t"
check(library.shmlock_open(lock, "shmlock-example-counter", nil, details))
for _ = 1, tonumber(arg[2] or 500) do
    check(library.shmlock_lock(lock, details)) -- waits until the lock is free
    write_number(path, number_in(path) + 1)
    check(library.shmlock_release(lock, details))
end
check(library.shmlock_close(lock, details))
