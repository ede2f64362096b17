#include "base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void give_up(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void give_up_errno(const char *doing)
{
    give_up("%s: %m", doing);
}

long parse_number(const char *what, const char *text, long least, long most)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        give_up("%s: got '%s', expected a whole number from %ld to %ld", what, text, least, most);
    return number;
}

void *allocate(uint64_t count, uint64_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (memory == NULL)
        give_up("out of memory for %lu items of %lu bytes", (unsigned long)count, (unsigned long)size);
    return memory;
}
