/* Counts the text messages in what a WebSocket's server sends, from its handshake on, however it is cut. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "base.h"

#include <stdbool.h>
#include <stdint.h>

enum { MESSAGES_ROOM = 1024 };

/* Start with all zeros, but for `expected`. */
struct messages {
    struct slice expected;  /* the text of each message but the first */
    bool is_open;           /* the handshake is done */
    uint64_t complete;
    uint64_t failed;        /* those of them with another text */
    char rest[MESSAGES_ROOM];
    size_t rest_length;
};

/* Take the next bytes of the stream. Gives up when the WebSocket is refused or closed. */
void messages_feed(struct messages *messages, const char *data, size_t length);

#endif
