#include "samples.h"

#include "base.h"

#include <inttypes.h>
#include <stdlib.h>

void samples_add(struct samples *samples, uint64_t nanoseconds)
{
    uint64_t microseconds = nanoseconds / 1000;

    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
        if (samples->values == NULL)
            give_up("out of memory for %" PRIu64 " samples", samples->room);
    }
    samples->values[samples->count++] = microseconds < UINT32_MAX ? (uint32_t)microseconds : UINT32_MAX;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static uint32_t percentile(const struct samples *samples, unsigned percent)
{
    if (samples->count == 0)
        return 0;
    return samples->values[(samples->count - 1) * percent / 100];
}

void samples_print(struct samples *samples, FILE *file)
{
    if (samples->count > 0)
        qsort(samples->values, samples->count, sizeof *samples->values, compare);
    fprintf(file, "{\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}", percentile(samples, 50),
            percentile(samples, 90), percentile(samples, 99), percentile(samples, 100));
}

void samples_free(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}
