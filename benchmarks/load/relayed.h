/* The origin's side of a WebSocket that a proxy relays: see /socket. */
#ifndef RELAYED_H
#define RELAYED_H

#include "server.h"

void answer_socket(int fd, const struct request *request, struct slice rest);

#endif
