/* Latency samples and their percentiles. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stdint.h>
#include <stdio.h>

/* Microseconds; a growing array. */
struct samples {
    uint32_t *values;
    uint64_t count;
    uint64_t room;
};

void samples_add(struct samples *samples, uint64_t nanoseconds);

/* Print {"p50": ..., "p90": ..., "p99": ..., "max": ...}; zeros when there are none. Sorts the samples. */
void samples_print(struct samples *samples, FILE *file);

void samples_free(struct samples *samples);

#endif
