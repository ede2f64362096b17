/* Publishes numbered messages over HTTP: to a GRIP control port, or as a plain request body. */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include "clients.h"
#include "responses.h"

#include <stddef.h>
#include <stdint.h>

enum item_format { HTTP_STREAM, HTTP_EVENT, HTTP_RESPONSE, WS_MESSAGE, PLAIN };

enum { PUBLISHER_CONNECTIONS = 4 * MAX_BURST };

/* Of a GRIP control port. */
#define PUBLISH_PATH "/publish/"

/* The poller reports connection i of the publisher under PUBLISHER_TAG + i. */
#define PUBLISHER_TAG (1ull << 32)

struct publisher_connection {
    bool is_open;
    bool is_waiting;            /* for the answer to a publish */
    int fd;
    struct responses responses;
};

/* The messages of a burst go out over as many connections, as from so many publishers. They are kept alive where the
 * server allows it (Pushpin closes after each publish). */
struct publisher {
    int poller;
    int port;
    const char *path;           /* where they are posted to */
    const char *channel;        /* not for PLAIN ones, which are what is published and nothing else */
    enum item_format format;
    bool has_ids;               /* items name themselves and the one before, by their numbers + 1 */
    size_t content_size;        /* bytes, with the newline at the end */
    struct publisher_connection connections[PUBLISHER_CONNECTIONS];
    uint64_t answered, failed;
};

/* Publish messages first..first+count-1 at the same time; sets when in `published_at`. */
void publish(struct publisher *publisher, uint32_t first, uint32_t count, uint64_t *published_at);

/* Read what has arrived at the connection that the poller reported under `tag`. */
void publisher_receive(struct publisher *publisher, uint64_t tag);

#endif
