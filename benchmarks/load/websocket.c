#include "websocket.h"

#include "sha1.h"

#include <string.h>

enum { FINAL = 0x80, OPCODE_BITS = 0x0f, MASKED = 0x80, LENGTH_BITS = 0x7f, LENGTH_16 = 126, LENGTH_64 = 127 };

static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
static const uint8_t client_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static void encode_base64(const uint8_t *data, size_t length, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        uint32_t group = (uint32_t)data[at] << 16 | (left > 1 ? (uint32_t)data[at + 1] << 8 : 0) |
                         (left > 2 ? data[at + 2] : 0u);

        for (size_t i = 0; i < 4; i++)
            *text++ = i <= left ? digits[group >> (18 - 6 * i) & 63] : '=';
    }
    *text = '\0';
}

void websocket_accept(struct slice key, char accept[ACCEPT_LENGTH + 1])
{
    char text[SHA1_MAX_INPUT];
    uint8_t digest[SHA1_LENGTH];
    size_t length = key.length + sizeof magic - 1;

    if (length > sizeof text)
        give_up("a Sec-WebSocket-Key of %zu bytes", key.length);
    memcpy(text, key.at, key.length);
    memcpy(text + key.length, magic, sizeof magic - 1);
    sha1(text, length, digest);
    encode_base64(digest, sizeof digest, accept);
}

size_t frame_encode(char *frame, enum opcode opcode, struct slice payload, bool is_masked)
{
    char *at = frame;

    if (payload.length > UINT16_MAX)
        give_up("a message of %zu bytes is too long for these programs", payload.length);
    *at++ = (char)(FINAL | opcode);
    if (payload.length < LENGTH_16) {
        *at++ = (char)((is_masked ? MASKED : 0) | payload.length);
    } else {
        *at++ = (char)((is_masked ? MASKED : 0) | LENGTH_16);
        *at++ = (char)(payload.length >> 8);
        *at++ = (char)payload.length;
    }
    if (is_masked) {
        memcpy(at, client_mask, sizeof client_mask);
        at += sizeof client_mask;
    }
    for (size_t i = 0; i < payload.length; i++)
        *at++ = is_masked ? (char)(payload.at[i] ^ client_mask[i % 4]) : payload.at[i];
    return (size_t)(at - frame);
}

size_t frame_parse(const char *data, size_t length, struct frame *frame)
{
    const uint8_t *bytes = (const uint8_t *)data;
    size_t header = 2, payload;

    if (length < header)
        return 0;
    if (!(bytes[0] & FINAL) || (bytes[0] & OPCODE_BITS) == 0)
        give_up("a WebSocket message in several frames");
    frame->opcode = bytes[0] & OPCODE_BITS;
    frame->is_masked = bytes[1] & MASKED;
    payload = bytes[1] & LENGTH_BITS;
    if (payload == LENGTH_64)
        give_up("a WebSocket message of more than 65,535 bytes");
    if (payload == LENGTH_16) {
        if (length < 4)
            return 0;
        payload = (size_t)bytes[2] << 8 | bytes[3];
        header = 4;
    }
    if (frame->is_masked)
        header += sizeof frame->mask;
    if (length < header + payload)
        return 0;
    if (frame->is_masked)
        memcpy(frame->mask, data + header - sizeof frame->mask, sizeof frame->mask);
    frame->payload = (struct slice){data + header, payload};
    return header + payload;
}

void frame_unmask(const struct frame *frame, char *payload)
{
    for (size_t i = 0; i < frame->payload.length; i++)
        payload[i] = frame->is_masked ? (char)(frame->payload.at[i] ^ frame->mask[i % 4]) : frame->payload.at[i];
}
