/* origin PORT: the backend of the measurements, as cheap as a backend can be.
 *
 *   /plain              an ordinary answer with 100 bytes
 *   /stream?channel=C   holds the request as a stream on channel C; the first response is "welcome\n"
 *   /sse?channel=C      the same as server-sent events
 *   /kept?channel=C     like /stream, with a keep-alive after 25 silent seconds
 *   /poll?channel=C     holds the request as a long poll on channel C
 *   /polls              how many /poll requests were answered so far
 *   /linked?channel=C   like /stream, but the hold follows ids from the latest one on, has /next?channel=C as its next
 *                       link, a filter, and a keep-alive
 *   /next?channel=C     the next link: what such a hold has missed, which is the stamp of the latest id
 *   /latest?ID          ID is the latest id from now on
 *   /links              how many /next requests were answered so far
 *   /events?channel=C   WebSocket-over-HTTP: accepts, subscribes the client to C, sends it the message "welcome", and
 *                       answers every text message with the same text
 *   /socket?channel=C   the same over a WebSocket
 */
#include "base.h"
#include "events.h"
#include "holds.h"
#include "relayed.h"
#include "server.h"
#include "sockets.h"

#include <string.h>

#define TEN "0123456789"

static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN;
static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

static void answer_plain(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    (void)rest;
    send_fully(fd, plain, sizeof plain - 1);
}

/* By what the target begins with; the answer gets the rest of the target. */
static const struct path {
    const char *prefix;
    void (*answer)(int fd, const struct request *request, struct slice rest);
} paths[] = {
    {"/plain", answer_plain},
    {"/stream?channel=", answer_stream},
    {"/sse?channel=", answer_event_stream},
    {"/kept?channel=", answer_kept},
    {"/poll?channel=", answer_poll},
    {"/polls", answer_polls},
    {"/linked?channel=", answer_linked},
    {"/next?channel=", answer_next},
    {"/latest?", answer_latest},
    {"/links", answer_links},
    {"/events?channel=", answer_events},
    {"/socket?channel=", answer_socket},
};

static void answer(int fd, const struct request *request)
{
    struct slice target = request->target;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        size_t length = strlen(paths[i].prefix);

        if (target.length >= length && memcmp(target.at, paths[i].prefix, length) == 0) {
            paths[i].answer(fd, request, (struct slice){target.at + length, target.length - length});
            return;
        }
    }
    send_fully(fd, missing, sizeof missing - 1);
}

int main(int argc, char **argv)
{
    struct door door = {.on_request = answer};

    if (argc != 2)
        give_up("usage: origin PORT");
    door.port = (int)parse_number("port", argv[1], 1, 65535);
    serve(&door, 1, NULL);
}
