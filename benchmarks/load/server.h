/* The smallest HTTP/1.1 server that the measurements need: one thread, one epoll set, keep-alive, pipelining, request
 * bodies with Content-Length. It trusts its peers: these are the proxy under test and the load programs. */
#ifndef SERVER_H
#define SERVER_H

#include "base.h"

struct request {
    struct slice target;
    struct slice head;          /* with its final empty line */
    struct slice body;
};

/* Answers one request by writing to `fd`. */
typedef void (*request_handler)(int fd, const struct request *request);

/* Takes what is complete at the front of the data that `fd` has sent, such as one request: returns its length, or 0 when
 * the rest has to arrive first. */
typedef size_t (*taker)(int fd, const char *data, size_t length);

/* Told when a connection is gone, before its descriptor is closed. */
typedef void (*close_handler)(int fd);

struct door {
    int port;
    request_handler on_request;
};

/* The value of the first header with this name, which is given in lower case with its colon; empty if there is none. */
struct slice header_value(struct slice head, const char *name);

/* What `fd` sends after the request that is being answered is not HTTP. */
void switch_protocol(int fd, taker take);

/* Serve until killed. `on_close` may be NULL. */
_Noreturn void serve(const struct door *doors, size_t count, close_handler on_close);

#endif
