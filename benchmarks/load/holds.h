/* The origin's answers that hold requests, and what it tells about them. `rest` is the target behind the path: a channel,
 * or an id. */
#ifndef HOLDS_H
#define HOLDS_H

#include "server.h"

void answer_stream(int fd, const struct request *request, struct slice rest);
void answer_event_stream(int fd, const struct request *request, struct slice rest);
void answer_kept(int fd, const struct request *request, struct slice rest);
void answer_poll(int fd, const struct request *request, struct slice rest);
void answer_polls(int fd, const struct request *request, struct slice rest);
void answer_linked(int fd, const struct request *request, struct slice rest);
void answer_next(int fd, const struct request *request, struct slice rest);
void answer_latest(int fd, const struct request *request, struct slice rest);
void answer_links(int fd, const struct request *request, struct slice rest);

#endif
