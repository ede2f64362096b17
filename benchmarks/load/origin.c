/* origin PORT: the backend of the measurements, as cheap as a backend can be.
 *
 *   /plain              an ordinary answer with 100 bytes
 *   /stream?channel=C   holds the request as a stream on channel C; the first response is "welcome\n"
 *   /poll?channel=C     holds the request as a long poll on channel C
 *   /polls              how many /poll requests were answered so far
 */
#include "base.h"
#include "server.h"
#include "sockets.h"

#include <stdio.h>
#include <string.h>

#define STREAM_PATH "/stream?channel="
#define POLL_PATH "/poll?channel="
#define TEN "0123456789"

static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN;
static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
static const char stream_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\n"
                                    "Grip-Channel: %.*s\r\nContent-Length: 8\r\n\r\nwelcome\n";
static const char poll_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: response\r\n"
                                  "Grip-Channel: %.*s\r\nContent-Length: 8\r\n\r\nnothing\n";
static unsigned long polls;

static int has_prefix(struct slice text, const char *prefix)
{
    return text.length >= strlen(prefix) && memcmp(text.at, prefix, strlen(prefix)) == 0;
}

static void answer_hold(int fd, const char *format, struct slice target, const char *prefix)
{
    char answer[512];
    int channel_length = (int)(target.length - strlen(prefix));
    int length = snprintf(answer, sizeof answer, format, channel_length, target.at + strlen(prefix));

    if (length < (int)sizeof answer)
        send_fully(fd, answer, (size_t)length);
}

static void answer_polls(int fd)
{
    char answer[128], number[32];
    int digits = snprintf(number, sizeof number, "%lu", polls);
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", digits, number);

    send_fully(fd, answer, (size_t)length);
}

static void answer(int fd, const struct request *request)
{
    if (has_prefix(request->target, "/plain")) {
        send_fully(fd, plain, sizeof plain - 1);
    } else if (has_prefix(request->target, STREAM_PATH)) {
        answer_hold(fd, stream_format, request->target, STREAM_PATH);
    } else if (has_prefix(request->target, POLL_PATH)) {
        polls++;
        answer_hold(fd, poll_format, request->target, POLL_PATH);
    } else if (has_prefix(request->target, "/polls")) {
        answer_polls(fd);
    } else {
        send_fully(fd, missing, sizeof missing - 1);
    }
}

int main(int argc, char **argv)
{
    struct door door = {.on_request = answer};

    if (argc != 2)
        give_up("usage: origin PORT");
    door.port = (int)parse_number("port", argv[1], 1, 65535);
    serve(&door, 1, NULL);
}
