#include "question.h"

#include "base.h"
#include "responses.h"
#include "sockets.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

int question_send(int port, const char *method_and_target, const char *body)
{
    size_t body_length = body != NULL ? strlen(body) : 0;
    char request[1024];
    int fd = connect_to(port, 0);
    int length = snprintf(request, sizeof request,
                          "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          method_and_target, body_length, body != NULL ? body : "");

    if (length >= (int)sizeof request || send_fully(fd, request, (size_t)length) < 0)
        give_up("cannot send %s", method_and_target);
    return fd;
}

unsigned long question_answer(int fd)
{
    struct responses responses = {0};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char answer[1024];
    size_t length = 0;
    const char *body;

    while (responses.complete == 0) {
        ssize_t got;

        if (poll(&readable, 1, PATIENCE_MS) == 0)
            give_up("no answer for %d ms", PATIENCE_MS);
        got = read(fd, answer + length, sizeof answer - 1 - length);
        if (got <= 0)
            give_up("the connection was closed instead of an answer");
        responses_feed(&responses, answer + length, (size_t)got);
        length += (size_t)got;
    }
    close(fd);
    answer[length] = '\0';
    if (responses.failed > 0)
        give_up("refused: %s", answer);
    body = strstr(answer, "\r\n\r\n");
    return body != NULL ? strtoul(body + 4, NULL, 10) : 0;
}

unsigned long question_ask(int port, const char *method_and_target, const char *body)
{
    return question_answer(question_send(port, method_and_target, body));
}
