/* The held clients: opening them, and counting what each of them receives. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "message.h"
#include "samples.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_BURST = 64 };

struct client {
    int fd;
    uint32_t round_first;       /* the round that `received_mask` is about */
    uint64_t received_mask;     /* the messages of that round that it has received */
    bool is_held;
    uint8_t carried;            /* bytes of `carry` in use */
    char carry[STAMP_LENGTH];   /* the last bytes of the read before, where a word may have been cut */
};

/* Where and how clients are opened. */
struct opening {
    int port;
    const char *path;
    const char *welcome;        /* what a client has received when it is held; at most STAMP_LENGTH bytes */
    const char *header;         /* one more line of the request, without its end; NULL for none */
    bool are_websockets;        /* which get a message where others get the first response, or a piece of it */
    size_t count;
    size_t window;              /* how many may be opening at a time */
    int origin_port;            /* 0: a client is held when the welcome arrives. Otherwise nothing arrives (long polls),
                                   and clients are held when the origin has counted them */
};

struct clients {
    int poller;
    size_t count;
    struct client *all;
    const struct opening *opening;
    size_t opened, held, closed;
    size_t refused;                     /* answers with an error, after which the client asked again */
    uint32_t round_first, round_count;  /* the messages that are being published */
    const uint64_t *published_at;       /* by message number, in ns */
    uint64_t received;                  /* messages of their round, over all clients */
    uint64_t unexpected;                /* messages that came twice, or after their round was given up */
    struct samples latencies;
};

/* Open all clients and return when all are held. Gives up when many are refused, or none is held for 10 s. */
void clients_open(struct clients *clients, const struct opening *opening);

/* Read what has arrived for one client. */
void client_receive(struct clients *clients, struct client *client);

void clients_close(struct clients *clients);

#endif
