#include "usage.h"

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { QUIET_PERIOD_US = 250000, QUIET_PERCENT = 5, QUIET_PERIODS = 60 };

struct processes parse_processes(const char *list)
{
    struct processes processes = {0};

    while (*list != '\0') {
        char *end;
        long pid = strtol(list, &end, 10);

        if (pid <= 0 || end == list || (*end != ',' && *end != '\0') || processes.count == MAX_PROCESSES)
            give_up("--pids: expected up to %d process ids with commas between, got '%s'", MAX_PROCESSES, list);
        processes.pids[processes.count++] = (pid_t)pid;
        list = *end == ',' ? end + 1 : end;
    }
    return processes;
}

uint64_t cpu_used_ns(const struct processes *processes)
{
    uint64_t total = 0;

    for (size_t i = 0; i < processes->count; i++) {
        struct timespec used;
        clockid_t clock;

        if (clock_getcpuclockid(processes->pids[i], &clock) != 0 || clock_gettime(clock, &used) != 0)
            give_up("process %d has no CPU clock: it has ended", (int)processes->pids[i]);
        total += (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
    }
    return total;
}

static void add_memory(struct memory *memory, pid_t pid)
{
    char path[64], line[256];
    long kilobytes;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        give_up_errno(path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %ld kB", &kilobytes) == 1)
            memory->rss_bytes += kilobytes * 1024;
        if (sscanf(line, "Pss: %ld kB", &kilobytes) == 1)
            memory->pss_bytes += kilobytes * 1024;
    }
    fclose(file);
}

struct memory memory_used(const struct processes *processes)
{
    struct memory memory = {0};

    for (size_t i = 0; i < processes->count; i++)
        add_memory(&memory, processes->pids[i]);
    return memory;
}

void wait_until_quiet(const struct processes *processes)
{
    uint64_t before_ns = cpu_used_ns(processes);

    for (int period = 0; period < QUIET_PERIODS; period++) {
        uint64_t after_ns, used_us;

        usleep(QUIET_PERIOD_US);
        after_ns = cpu_used_ns(processes);
        used_us = (after_ns - before_ns) / 1000;
        if (used_us * 100 < (uint64_t)QUIET_PERIOD_US * QUIET_PERCENT)
            return;
        before_ns = after_ns;
    }
}
