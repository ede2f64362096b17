#include "relayed.h"

#include "greeting.h"
#include "sockets.h"
#include "websocket.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_ROOM = 1 << 16 };

static const char acceptance[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                 "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: grip\r\n\r\n";
static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

static void send_frame(int fd, enum opcode opcode, struct slice payload)
{
    static char frame[FRAME_ROOM + MESSAGE_ROOM];

    send_fully(fd, frame, frame_encode(frame, opcode, payload, false));
}

static void send_to_client(int fd, struct slice text)
{
    static char message[sizeof FOR_CLIENT + MESSAGE_ROOM] = FOR_CLIENT;
    const size_t prefix = sizeof FOR_CLIENT - 1;

    memcpy(message + prefix, text.at, text.length);
    send_frame(fd, OPCODE_TEXT, (struct slice){message, prefix + text.length});
}

static size_t take_frame(int fd, const char *data, size_t length)
{
    static char payload[MESSAGE_ROOM];
    struct frame frame;
    size_t taken = frame_parse(data, length, &frame);
    struct slice content = {payload, 0};

    if (taken == 0)
        return 0;
    frame_unmask(&frame, payload);
    content.length = frame.payload.length;
    switch (frame.opcode) {
    case OPCODE_TEXT: send_to_client(fd, content); break;
    case OPCODE_PING: send_frame(fd, OPCODE_PONG, content); break;
    case OPCODE_CLOSE: send_frame(fd, OPCODE_CLOSE, content); break;
    case OPCODE_PONG: break;
    default: give_up("a frame with opcode %d", (int)frame.opcode);
    }
    return taken;
}

void answer_socket(int fd, const struct request *request, struct slice rest)
{
    struct slice key = header_value(request->head, "sec-websocket-key:");
    char accept[ACCEPT_LENGTH + 1], head[512], order[ORDER_ROOM];
    int length;

    if (key.length == 0) {
        send_fully(fd, refusal, sizeof refusal - 1);
        return;
    }
    websocket_accept(key, accept);
    length = snprintf(head, sizeof head, acceptance, accept);
    send_fully(fd, head, (size_t)length);
    send_frame(fd, OPCODE_TEXT, subscribe_order(rest, order));
    send_to_client(fd, welcome);
    switch_protocol(fd, take_frame);
}
