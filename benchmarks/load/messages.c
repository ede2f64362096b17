#include "messages.h"

#include "websocket.h"

#include <string.h>

static size_t take_handshake(struct messages *messages)
{
    static const char accepted[] = "HTTP/1.1 101 ";
    const char *end = memmem(messages->rest, messages->rest_length, "\r\n\r\n", 4);

    if (end == NULL)
        return 0;
    if (memcmp(messages->rest, accepted, sizeof accepted - 1) != 0)
        give_up("the WebSocket is refused: %.*s", (int)messages->rest_length, messages->rest);
    messages->is_open = true;
    return (size_t)(end - messages->rest) + 4;
}

static size_t take_frame(struct messages *messages, const char *data, size_t length)
{
    struct frame frame;
    size_t taken = frame_parse(data, length, &frame);
    const struct slice *text = &frame.payload, *expected = &messages->expected;

    if (taken == 0)
        return 0;
    if (frame.opcode == OPCODE_CLOSE)
        give_up("the server closes the WebSocket");
    if (frame.opcode == OPCODE_TEXT) {
        bool is_first = messages->complete++ == 0;

        if (!is_first && (text->length != expected->length || memcmp(text->at, expected->at, text->length) != 0))
            messages->failed++;
    }
    return taken;
}

void messages_feed(struct messages *messages, const char *data, size_t length)
{
    size_t done = 0, taken;

    if (messages->rest_length + length > sizeof messages->rest)
        give_up("more than %d bytes at once from a WebSocket", MESSAGES_ROOM);
    memcpy(messages->rest + messages->rest_length, data, length);
    messages->rest_length += length;
    if (!messages->is_open)
        done = take_handshake(messages);
    while (messages->is_open && done < messages->rest_length &&
           (taken = take_frame(messages, messages->rest + done, messages->rest_length - done)) > 0)
        done += taken;
    messages->rest_length -= done;
    memmove(messages->rest, messages->rest + done, messages->rest_length);
}
