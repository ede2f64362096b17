/* Counts the HTTP/1.1 responses in a stream of bytes, however it is cut; bodies with Content-Length or chunked. */
#ifndef RESPONSES_H
#define RESPONSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum response_state { STATUS_LINE, HEADER_LINE, SIZED_BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER_LINE };

/* Start with all zeros. */
struct responses {
    enum response_state state;
    int status;             /* of the response that is being read */
    bool is_chunked;
    bool is_last;           /* the server said that it closes the connection after it */
    uint64_t left;          /* bytes of body or chunk still to come */
    uint64_t complete;      /* responses that ended, of any status */
    uint64_t failed;        /* those of them whose status is not 2xx */
    char line[128];         /* the front of an unfinished line */
    size_t line_length;
};

/* Take the next bytes of the stream. Gives up when they are not HTTP. */
void responses_feed(struct responses *responses, const char *data, size_t length);

#endif
