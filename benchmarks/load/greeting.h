/* What the origin says first to every WebSocket, whichever way it is connected. */
#ifndef GREETING_H
#define GREETING_H

#include "base.h"

enum { ORDER_ROOM = 256 };

/* Stands before a message that is meant for the client, not for the proxy. */
#define FOR_CLIENT "m:"

static const struct slice welcome = {"welcome", 7};

/* The control message that subscribes the client to a channel, written into `order`. */
struct slice subscribe_order(struct slice channel, char order[ORDER_ROOM]);

#endif
