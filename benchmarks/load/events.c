#include "events.h"

#include "greeting.h"
#include "sockets.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_ROOM = 1 << 16 };

static const char head_format[] = "HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\n%s"
                                  "Content-Length: %d\r\n\r\n";
static const char grip[] = "Sec-WebSocket-Extensions: grip\r\n";

struct event {
    struct slice type;
    struct slice content;
};

/* Read the event at the front of the data: returns its length, or 0 when there is none. */
static size_t parse_event(struct slice data, struct event *event)
{
    const char *end = memmem(data.at, data.length, "\r\n", 2);
    const char *blank;
    size_t line;

    if (end == NULL)
        return 0;
    line = (size_t)(end - data.at);
    blank = memchr(data.at, ' ', line);
    *event = (struct event){.type = {data.at, blank != NULL ? (size_t)(blank - data.at) : line}};
    if (blank == NULL)
        return line + 2;
    event->content = (struct slice){end + 2, strtoul(blank, NULL, 16)};
    if (line + 2 + event->content.length + 2 > data.length)
        give_up("an event is longer than the request that it came with");
    return line + 2 + event->content.length + 2;
}

static bool is_type(const struct event *event, const char *type)
{
    return event->type.length == strlen(type) && memcmp(event->type.at, type, event->type.length) == 0;
}

/* Write a TEXT event with `prefix` before the content; returns its length. */
static int write_text(char *body, size_t room, const char *prefix, struct slice content)
{
    return snprintf(body, room, "TEXT %zx\r\n%s%.*s\r\n", strlen(prefix) + content.length, prefix,
                    (int)content.length, content.at);
}

static int write_acceptance(char *body, size_t room, struct slice channel)
{
    char order[ORDER_ROOM];
    int length = snprintf(body, room, "OPEN\r\n");

    length += write_text(body + length, room - (size_t)length, "", subscribe_order(channel, order));
    length += write_text(body + length, room - (size_t)length, FOR_CLIENT, welcome);
    return length;
}

/* Write what is answered to one event; returns its length. */
static int write_answer(char *body, size_t room, const struct event *event, struct slice channel)
{
    if (is_type(event, "OPEN"))
        return write_acceptance(body, room, channel);
    if (is_type(event, "TEXT"))
        return write_text(body, room, FOR_CLIENT, event->content);
    if (is_type(event, "CLOSE"))
        return snprintf(body, room, "CLOSE\r\n");
    return 0;
}

void answer_events(int fd, const struct request *request, struct slice rest)
{
    static char answer[256 + BODY_ROOM], body[BODY_ROOM];
    struct slice left = request->body;
    struct event event;
    bool is_opening = false;
    int body_length = 0, head_length;
    size_t taken;

    while (left.length > 0 && (taken = parse_event(left, &event)) > 0) {
        is_opening |= is_type(&event, "OPEN");
        body_length += write_answer(body + body_length, sizeof body - (size_t)body_length, &event, rest);
        if (body_length >= (int)sizeof body)
            give_up("the answer to a request with events is too long");
        left = (struct slice){left.at + taken, left.length - taken};
    }
    head_length = snprintf(answer, sizeof answer, head_format, is_opening ? grip : "", body_length);
    memcpy(answer + head_length, body, (size_t)body_length);
    send_fully(fd, answer, (size_t)(head_length + body_length));
}
