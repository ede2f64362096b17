/* What both ends of a WebSocket need (RFC 6455): the handshake and single frames. */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include "base.h"

#include <stdbool.h>
#include <stdint.h>

enum { ACCEPT_LENGTH = 28, FRAME_ROOM = 14 };

enum opcode { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct frame {
    enum opcode opcode;
    bool is_masked;
    uint8_t mask[4];
    struct slice payload;       /* as it came, masked or not */
};

/* The headers by which a request asks for a WebSocket. */
#define WEBSOCKET_REQUEST_HEADERS \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* The Sec-WebSocket-Accept for a Sec-WebSocket-Key, terminated. */
void websocket_accept(struct slice key, char accept[ACCEPT_LENGTH + 1]);

/* Write a whole message as one frame, masked as clients have to; `frame` has room for FRAME_ROOM bytes more than the
 * payload. Returns the length of the frame. */
size_t frame_encode(char *frame, enum opcode opcode, struct slice payload, bool is_masked);

/* Read the frame at the front of the data: returns its length, or 0 when the rest has to arrive first. Gives up on
 * messages in several frames. */
size_t frame_parse(const char *data, size_t length, struct frame *frame);

/* Write the payload as it was meant. */
void frame_unmask(const struct frame *frame, char *payload);

#endif
