/* The smallest HTTP/1.1 server that the measurements need: one thread, one epoll set, keep-alive, pipelining, request
 * bodies with Content-Length. It trusts its peers: these are the proxy under test and the load programs. */
#ifndef SERVER_H
#define SERVER_H

#include <stddef.h>

/* A piece of text that is not terminated and belongs to someone else. */
struct slice {
    const char *at;
    size_t length;
};

struct request {
    struct slice target;
    struct slice body;
};

/* Answers one request by writing to `fd`. */
typedef void (*request_handler)(int fd, const struct request *request);

/* Told when a connection is gone, before its descriptor is closed. */
typedef void (*close_handler)(int fd);

struct door {
    int port;
    request_handler on_request;
};

/* Serve until killed. `on_close` may be NULL. */
_Noreturn void serve(const struct door *doors, size_t count, close_handler on_close);

#endif
