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

/* What is kept of a connection between two reads: mostly nothing else, sometimes the first part of a request. */
struct connection {
    request_handler on_request;
    taker take;
    char *rest;
    size_t rest_length;
};

static struct connection connections[MAX_CONNECTIONS];
static char buffer[MAX_REQUEST];
static close_handler closing;

struct slice header_value(struct slice head, const char *name)
{
    size_t name_length = strlen(name);
    const char *end = head.at + head.length;

    for (const char *at = head.at; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
        struct slice value = {++at + name_length, 0};

        if ((size_t)(end - at) <= name_length || strncasecmp(at, name, name_length) != 0)
            continue;
        while (*value.at == ' ')
            value.at++;
        value.length = (size_t)((const char *)memchr(value.at, '\r', (size_t)(end - value.at)) - value.at);
        return value;
    }
    return (struct slice){0};
}

static size_t content_length(struct slice head)
{
    struct slice value = header_value(head, "content-length:");

    return value.length > 0 ? strtoul(value.at, NULL, 10) : 0;
}

static size_t take_request(int fd, const char *data, size_t length)
{
    const char *head_end = memmem(data, length, "\r\n\r\n", 4);
    const char *target = memchr(data, ' ', length);
    struct request request;

    if (head_end == NULL)
        return 0;
    request.head = (struct slice){data, (size_t)(head_end - data) + 4};
    request.body = (struct slice){data + request.head.length, content_length(request.head)};
    if (length - request.head.length < request.body.length)
        return 0;
    request.target.at = target + 1;
    request.target.length = (size_t)((const char *)memchr(target + 1, ' ', request.head.length) - target - 1);
    connections[fd].on_request(fd, &request);
    return request.head.length + request.body.length;
}

void switch_protocol(int fd, taker take)
{
    connections[fd].take = take;
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

static void read_connection(int fd)
{
    struct connection *connection = &connections[fd];
    size_t used = connection->rest_length, done = 0, taken;
    ssize_t got;

    if (used > 0)
        memcpy(buffer, connection->rest, used);
    got = recv(fd, buffer + used, sizeof buffer - used, 0);
    if (got <= 0) {
        forget(fd);
        return;
    }
    used += (size_t)got;
    while (done < used && (taken = connection->take(fd, buffer + done, used - done)) > 0)
        done += taken;
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
        connections[fd].take = take_request;
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
                read_connection(fd);
        }
    }
}
