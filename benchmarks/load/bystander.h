/* One stream client that is published to at regular intervals, however slow that is: what others feel of something. */
#ifndef BYSTANDER_H
#define BYSTANDER_H

#include "clients.h"
#include "publisher.h"
#include "samples.h"

#include <stdint.h>

enum { BYSTANDER_INTERVAL_MS = 10, BYSTANDER_MESSAGES = 1 << 16, BYSTANDER_READ = 1 << 14 };

struct bystander {
    int poller;                 /* of its own */
    struct opening opening;
    struct clients clients;     /* the one */
    struct publisher publisher;
    uint64_t published_at[BYSTANDER_MESSAGES];
    uint64_t due_ns;            /* the next publish */
    bool has_received[BYSTANDER_MESSAGES];
    uint32_t published, received;
    uint32_t counted_from, counted_to;
    struct samples latencies;   /* of those messages */
    uint64_t unexpected;        /* messages that came twice */
    size_t carried;
    char carry[STAMP_LENGTH];   /* the last bytes of the read before, where a word may have been cut */
};

/* Hold the client, on a channel of its own. */
void bystander_open(struct bystander *bystander, int port, int control_port);

/* Publish if it is time, and read what has arrived. To be called all the time. */
void bystander_go_on(struct bystander *bystander);

/* Measure the messages from the next one on. */
void bystander_begin(struct bystander *bystander);

/* Measure those that are published from now on no more; returns how many were not received within a second. */
uint32_t bystander_end(struct bystander *bystander);

#endif
