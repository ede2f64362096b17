#include "responses.h"

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_NAME "content-length:"
#define CHUNKED_FIELD "transfer-encoding: chunked"
#define CLOSE_FIELD "connection: close"

static void end_response(struct responses *responses)
{
    responses->complete++;
    if (responses->status / 100 != 2)
        responses->failed++;
    responses->state = STATUS_LINE;
}

static void start_body(struct responses *responses)
{
    if (responses->is_chunked)
        responses->state = CHUNK_SIZE;
    else if (responses->left > 0)
        responses->state = SIZED_BODY;
    else
        end_response(responses);
}

static void start_response(struct responses *responses, const char *line)
{
    if (sscanf(line, "HTTP/1.%*1d %3d", &responses->status) != 1)
        give_up("expected a status line, got '%s'", line);
    responses->is_chunked = false;
    responses->is_last = false;
    responses->left = 0;
    responses->state = HEADER_LINE;
}

static void take_header(struct responses *responses, const char *line)
{
    if (*line == '\0')
        start_body(responses);
    else if (strncasecmp(line, LENGTH_NAME, strlen(LENGTH_NAME)) == 0)
        responses->left = strtoull(line + strlen(LENGTH_NAME), NULL, 10);
    else if (strcasecmp(line, CHUNKED_FIELD) == 0)
        responses->is_chunked = true;
    else if (strcasecmp(line, CLOSE_FIELD) == 0)
        responses->is_last = true;
}

static void take_chunk_size(struct responses *responses, const char *line)
{
    responses->left = strtoull(line, NULL, 16);
    responses->state = responses->left > 0 ? CHUNK_DATA : TRAILER_LINE;
}

static void take_line(struct responses *responses, const char *line)
{
    switch (responses->state) {
    case STATUS_LINE: start_response(responses, line); break;
    case HEADER_LINE: take_header(responses, line); break;
    case CHUNK_SIZE: take_chunk_size(responses, line); break;
    case CHUNK_END: responses->state = CHUNK_SIZE; break;
    case TRAILER_LINE: if (*line == '\0') end_response(responses); break;
    case SIZED_BODY: case CHUNK_DATA: break; /* not made of lines */
    }
}

/* Add to the unfinished line, of which only the front matters, and act when it ends. Returns the bytes used. */
static size_t feed_line(struct responses *responses, const char *data, size_t length)
{
    const char *newline = memchr(data, '\n', length);
    size_t used = newline != NULL ? (size_t)(newline - data) + 1 : length;
    size_t room = sizeof responses->line - 1 - responses->line_length;
    size_t kept = used < room ? used : room;

    memcpy(responses->line + responses->line_length, data, kept);
    responses->line_length += kept;
    if (newline != NULL) {
        while (responses->line_length > 0 && strchr("\r\n", responses->line[responses->line_length - 1]) != NULL)
            responses->line_length--;
        responses->line[responses->line_length] = '\0';
        responses->line_length = 0;
        take_line(responses, responses->line);
    }
    return used;
}

static size_t feed_body(struct responses *responses, size_t length)
{
    size_t used = responses->left < length ? (size_t)responses->left : length;

    responses->left -= used;
    if (responses->left == 0) {
        if (responses->state == CHUNK_DATA)
            responses->state = CHUNK_END;
        else
            end_response(responses);
    }
    return used;
}

void responses_feed(struct responses *responses, const char *data, size_t length)
{
    while (length > 0) {
        bool in_body = responses->state == SIZED_BODY || responses->state == CHUNK_DATA;
        size_t used = in_body ? feed_body(responses, length) : feed_line(responses, data, length);

        data += used;
        length -= used;
    }
}
