#include "publisher.h"

#include "base.h"
#include "message.h"
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ITEM(format, field, before, after) \
    "{\"items\": [{\"channel\": \"%s\", %s\"formats\": {\"" format "\": {\"" field "\":\"" before "%s" after "\"}}}]}"

static const char *const body_formats[] = {
    [HTTP_STREAM] = ITEM("http-stream", "content", "", "\\n"),
    [HTTP_EVENT] = ITEM("http-stream", "content", "data: ", "\\n\\n"),
    [HTTP_RESPONSE] = ITEM("http-response", "body", "", "\\n"),
    [WS_MESSAGE] = ITEM("ws-message", "content", "", "\\n"),
};
static const char ids_format[] = "\"id\": \"" ID_FORMAT "\", \"prev-id\": \"" ID_FORMAT "\", ";
static const char request_format[] = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                     "Content-Length: %d\r\n\r\n%s";

/* The stamp of message `number` and padding; the newline that follows makes it `content_size` bytes. */
static char *make_content(const struct publisher *publisher, uint32_t number)
{
    char stamp[STAMP_LENGTH + 1], *content = allocate(publisher->content_size, 1);

    snprintf(stamp, sizeof stamp, STAMP_FORMAT, MESSAGE_MARK, number);
    memset(content, '.', publisher->content_size - 1);
    memcpy(content, stamp, STAMP_LENGTH);
    return content;
}

/* A whole publish request; the caller frees it. */
static char *make_request(const struct publisher *publisher, uint32_t number)
{
    char *content = make_content(publisher, number), *body, *request, ids[sizeof ids_format + 2 * MESSAGE_DIGITS] = "";
    int length;

    if (publisher->has_ids)
        snprintf(ids, sizeof ids, ids_format, number + 1, number);
    if (publisher->format == PLAIN)
        length = asprintf(&body, "%s", content);
    else
        length = asprintf(&body, body_formats[publisher->format], publisher->channel, ids, content);

    if (length < 0 || asprintf(&request, request_format, publisher->path, length, body) < 0)
        give_up("out of memory for a publish");
    free(content);
    free(body);
    return request;
}

/* The first connection that waits for nothing, opened if need be: few connections, unless the server is slow. */
static struct publisher_connection *free_connection(struct publisher *publisher)
{
    for (uint32_t index = 0; index < PUBLISHER_CONNECTIONS; index++) {
        struct publisher_connection *connection = &publisher->connections[index];

        if (connection->is_open && connection->is_waiting)
            continue;
        if (!connection->is_open) {
            *connection = (struct publisher_connection){.is_open = true, .fd = connect_to(publisher->port, 0)};
            watch(publisher->poller, connection->fd, PUBLISHER_TAG + index);
        }
        connection->is_waiting = true;
        return connection;
    }
    give_up("%d publishes are not answered yet", PUBLISHER_CONNECTIONS);
}

static void close_connection(struct publisher_connection *connection)
{
    close(connection->fd);
    connection->is_open = false;
}

void publish(struct publisher *publisher, uint32_t first, uint32_t count, uint64_t *published_at)
{
    struct publisher_connection *connections[MAX_BURST];
    char *requests[MAX_BURST];

    for (uint32_t i = 0; i < count; i++) {
        requests[i] = make_request(publisher, first + i);
        connections[i] = free_connection(publisher);
    }
    for (uint32_t i = 0; i < count; i++) {
        published_at[first + i] = now_ns();
        if (send_fully(connections[i]->fd, requests[i], strlen(requests[i])) < 0)
            give_up("the control port closed the connection");
    }
    for (uint32_t i = 0; i < count; i++)
        free(requests[i]);
}

void publisher_receive(struct publisher *publisher, uint64_t tag)
{
    struct publisher_connection *connection = &publisher->connections[tag - PUBLISHER_TAG];
    uint64_t complete = connection->responses.complete, failed = connection->responses.failed;
    char buffer[1 << 14];
    ssize_t length = read(connection->fd, buffer, sizeof buffer);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        close_connection(connection);
        return;
    }
    responses_feed(&connection->responses, buffer, (size_t)length);
    if (connection->responses.complete > complete)
        connection->is_waiting = false;
    publisher->answered += connection->responses.complete - complete;
    publisher->failed += connection->responses.failed - failed;
    if (connection->responses.complete > complete && connection->responses.is_last)
        close_connection(connection);
}
