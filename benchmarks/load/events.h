/* The origin's answers to WebSocket-over-HTTP requests: see /events. */
#ifndef EVENTS_H
#define EVENTS_H

#include "server.h"

void answer_events(int fd, const struct request *request, struct slice rest);

#endif
