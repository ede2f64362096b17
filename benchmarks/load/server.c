#include "server.h"

#include "base.h"
#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 20000, MAX_DOORS = 4, MAX_REQUEST = 1 << 18, EVENTS = 512 };

/* What is kept of a connection between two reads: mostly nothing, sometimes the first part of a request. */
struct connection {
    request_handler on_request;
    char *rest;
    size_t rest_length;
};

static struct connection connections[MAX_CONNECTIONS];
static char buffer[MAX_REQUEST];
static close_handler closing;

static size_t content_length(const char *head, size_t length)
{
    static const char name[] = "\ncontent-length:";

    for (const char *at = head; (at = memchr(at, '\n', (size_t)(head + length - at))) != NULL; at++)
        if ((size_t)(head + length - at) > sizeof name && strncasecmp(at, name, sizeof name - 1) == 0)
            return strtoul(at + sizeof name - 1, NULL, 10);
    return 0;
}

/* Parse one request from the front of the data: returns its length, or 0 when it is not complete yet. */
static size_t parse_request(const char *data, size_t length, struct request *request)
{
    const char *head_end = memmem(data, length, "\r\n\r\n", 4);
    const char *target = memchr(data, ' ', length);
    size_t head_length;

    if (head_end == NULL)
        return 0;
    head_length = (size_t)(head_end - data) + 4;
    request->body = (struct slice){data + head_length, content_length(data, head_length)};
    if (length - head_length < request->body.length)
        return 0;
    request->target.at = target + 1;
    request->target.length = (size_t)((const char *)memchr(target + 1, ' ', head_length) - target - 1);
    return head_length + request->body.length;
}

static void forget(int fd)
{
    struct connection *connection = &connections[fd];

    if (closing != NULL)
        closing(fd);
    free(connection->rest);
    *connection = (struct connection){0};
    close(fd);
}

static void keep_rest(struct connection *connection, const char *data, size_t length)
{
    char *rest = NULL;

    if (length > 0) {
        rest = allocate(length, 1);
        memcpy(rest, data, length);
    }
    free(connection->rest);
    connection->rest = rest;
    connection->rest_length = length;
}

static void read_requests(int fd)
{
    struct connection *connection = &connections[fd];
    size_t used = connection->rest_length, done = 0, taken;
    struct request request;
    ssize_t got;

    if (used > 0)
        memcpy(buffer, connection->rest, used);
    got = recv(fd, buffer + used, sizeof buffer - used, 0);
    if (got <= 0) {
        forget(fd);
        return;
    }
    used += (size_t)got;
    while (done < used && (taken = parse_request(buffer + done, used - done, &request)) > 0) {
        connection->on_request(fd, &request);
        done += taken;
    }
    keep_rest(connection, buffer + done, used - done);
}

static void accept_all(int poller, int listener, request_handler on_request)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_CONNECTIONS)
            give_up("more than %d connections", MAX_CONNECTIONS);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd].on_request = on_request;
        watch(poller, fd, (uint64_t)fd);
    }
}

void serve(const struct door *doors, size_t count, close_handler on_close)
{
    request_handler listening[64] = {0};
    struct epoll_event events[EVENTS];
    int poller = new_poller();

    closing = on_close;
    allow_files(1024);
    for (size_t i = 0; i < count; i++) {
        int fd = listen_on(doors[i].port);

        listening[fd] = doors[i].on_request;
        watch(poller, fd, (uint64_t)fd);
    }
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);

        for (int i = 0; i < ready; i++) {
            int fd = (int)events[i].data.u64;

            if (fd < 64 && listening[fd] != NULL)
                accept_all(poller, fd, listening[fd]);
            else
                read_requests(fd);
        }
    }
}
