/* floor PORT CONTROL-PORT: the least that a push server can do, to compare the others with.
 *
 * Every request to PORT is held: it gets a fixed head and "welcome\n", both ready beforehand. A publish to CONTROL-PORT
 * becomes one HTTP chunk, and that chunk is sent to every held client in a loop of send(2). There are no channels, no
 * routes, no backend and no queues; what a send() does not take at once is lost (and the load client says so).
 */
#include "base.h"
#include "server.h"
#include "sockets.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_CLIENTS = 20000, MAX_CONTENT = 1 << 16 };

static const char first_response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     "8\r\nwelcome\n\r\n";
static const char published[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n";
static const char refused[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

static int clients[MAX_CLIENTS];
static size_t client_count;

static void hold(int fd, const struct request *request)
{
    (void)request;
    clients[client_count++] = fd;
    send_fully(fd, first_response, sizeof first_response - 1);
}

static void release(int fd)
{
    for (size_t i = 0; i < client_count; i++)
        if (clients[i] == fd) {
            clients[i] = clients[--client_count];
            return;
        }
}

/* Turn the "content" of a published item into a chunk: the load client's items end with an escaped newline and have no
 * other escapes. Returns the length of the chunk, or 0 when there is no such content. */
static size_t encode_chunk(struct slice body, char *chunk, size_t size)
{
    static const char opening[] = "\"content\":\"", closing[] = "\\n\"";
    const char *start = memmem(body.at, body.length, opening, sizeof opening - 1);
    const char *end = memmem(body.at, body.length, closing, sizeof closing - 1);
    int length;

    if (start == NULL || end == NULL || end < start)
        return 0;
    start += sizeof opening - 1;
    length = (int)(end - start);
    length = snprintf(chunk, size, "%x\r\n%.*s\n\r\n", (unsigned)length + 1, length, start);
    return (size_t)length < size ? (size_t)length : 0;
}

static void publish(int fd, const struct request *request)
{
    static char chunk[MAX_CONTENT];
    size_t length = encode_chunk(request->body, chunk, sizeof chunk);

    if (length == 0) {
        send_fully(fd, refused, sizeof refused - 1);
        return;
    }
    for (size_t i = 0; i < client_count; i++)
        send(clients[i], chunk, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    send_fully(fd, published, sizeof published - 1);
}

int main(int argc, char **argv)
{
    struct door doors[2] = {{.on_request = hold}, {.on_request = publish}};

    if (argc != 3)
        give_up("usage: floor PORT CONTROL-PORT");
    doors[0].port = (int)parse_number("port", argv[1], 1, 65535);
    doors[1].port = (int)parse_number("control port", argv[2], 1, 65535);
    serve(doors, 2, release);
}
