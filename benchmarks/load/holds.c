#include "holds.h"

#include "message.h"
#include "sockets.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_ROOM = 1024 };

static const char stream_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\n"
                                    "Grip-Channel: %.*s\r\nContent-Length: 8\r\n\r\nwelcome\n";
static const char event_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\n"
                                   "Grip-Channel: %.*s\r\nContent-Length: 15\r\n\r\ndata: welcome\n\n";
static const char kept_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\n"
                                  "Grip-Channel: %.*s\r\nGrip-Keep-Alive: \\n; format=cstring; timeout=25\r\n"
                                  "Content-Length: 8\r\n\r\nwelcome\n";
static const char poll_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: response\r\n"
                                  "Grip-Channel: %.*s\r\nContent-Length: 8\r\n\r\nnothing\n";
static const char linked_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\n"
                                    "Grip-Channel: %.*s; prev-id=%s; filter=skip-self\r\n"
                                    "Grip-Set-Meta: user=reader\r\n"
                                    "Grip-Keep-Alive: \\n; format=cstring; timeout=25\r\n"
                                    "Grip-Link: </next?channel=%.*s>; rel=next\r\n"
                                    "Content-Length: %zu\r\n\r\n%s";
static const char number_format[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%lu";
static const char nothing[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";

static unsigned long polls, links;
static char latest[MESSAGE_DIGITS + 1] = FIRST_ID;

static void send_answer(int fd, const char *answer, int length)
{
    if (length < ANSWER_ROOM)
        send_fully(fd, answer, (size_t)length);
}

static void answer_hold(int fd, const char *format, struct slice channel)
{
    char answer[ANSWER_ROOM];

    send_answer(fd, answer, snprintf(answer, sizeof answer, format, (int)channel.length, channel.at));
}

static void answer_number(int fd, unsigned long number)
{
    char answer[ANSWER_ROOM];
    int digits = snprintf(NULL, 0, "%lu", number);

    send_answer(fd, answer, snprintf(answer, sizeof answer, number_format, digits, number));
}

static void answer_link(int fd, struct slice channel, const char *content)
{
    char answer[ANSWER_ROOM];
    int length = (int)channel.length;

    send_answer(fd, answer, snprintf(answer, sizeof answer, linked_format, length, channel.at, latest, length,
                                     channel.at, strlen(content), content));
}

void answer_stream(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    answer_hold(fd, stream_format, rest);
}

void answer_event_stream(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    answer_hold(fd, event_format, rest);
}

void answer_kept(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    answer_hold(fd, kept_format, rest);
}

void answer_poll(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    polls++;
    answer_hold(fd, poll_format, rest);
}

void answer_polls(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    (void)rest;
    answer_number(fd, polls);
}

void answer_linked(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    answer_link(fd, rest, "welcome\n");
}

void answer_next(int fd, const struct request *request, struct slice rest)
{
    char content[STAMP_LENGTH + 2] = "";

    (void)request;
    links++;
    if (strcmp(latest, FIRST_ID) != 0)
        snprintf(content, sizeof content, "%c%s\n", MESSAGE_MARK, latest);
    answer_link(fd, rest, content);
}

void answer_latest(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    if (rest.length == MESSAGE_DIGITS)
        memcpy(latest, rest.at, MESSAGE_DIGITS);
    send_fully(fd, nothing, sizeof nothing - 1);
}

void answer_links(int fd, const struct request *request, struct slice rest)
{
    (void)request;
    (void)rest;
    answer_number(fd, links);
}
