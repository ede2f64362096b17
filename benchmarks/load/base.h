/* What every program here needs: the clock, numbers from the command line, and giving up with a message. */
#ifndef BASE_H
#define BASE_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

/* A piece of text that is not terminated and belongs to someone else. */
struct slice {
    const char *at;
    size_t length;
};

/* Monotonic time in nanoseconds. */
uint64_t now_ns(void);

/* Print "PROGRAM: message" to standard error and end with status 2. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with the text of errno added. */
_Noreturn void give_up_errno(const char *doing);

/* The number in `text`, which must be whole and within least..most; `what` names it in the complaint. */
long parse_number(const char *what, const char *text, long least, long most);

/* calloc that does not fail. */
void *allocate(uint64_t count, uint64_t size);

#endif
