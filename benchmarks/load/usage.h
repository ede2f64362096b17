/* CPU time and memory of other processes: the servers under test. */
#ifndef USAGE_H
#define USAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MAX_PROCESSES = 64 };

/* The processes that together are one server. */
struct processes {
    pid_t pids[MAX_PROCESSES];
    size_t count;
};

struct memory {
    int64_t rss_bytes;
    int64_t pss_bytes;
};

/* Parse "PID,PID,...", which may be empty. */
struct processes parse_processes(const char *list);

/* CPU time used so far by all threads of all of them, in nanoseconds. (The kernel's CPU clock of a process: the sum
 * that /proc/PID/stat shows as utime + stime, not cut to clock ticks.) */
uint64_t cpu_used_ns(const struct processes *processes);

/* Resident memory now: RSS, and PSS, which counts a page shared by n processes as a part of n. */
struct memory memory_used(const struct processes *processes);

/* Wait until they use hardly any CPU time, for 15 seconds at most: a server of several processes may still be busy with
 * clients that look held from outside. */
void wait_until_quiet(const struct processes *processes);

#endif
