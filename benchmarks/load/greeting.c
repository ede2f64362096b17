#include "greeting.h"

#include <stdio.h>

struct slice subscribe_order(struct slice channel, char order[ORDER_ROOM])
{
    int length = snprintf(order, ORDER_ROOM, "c:{\"type\":\"subscribe\",\"channel\":\"%.*s\"}", (int)channel.length,
                          channel.at);

    if (length >= ORDER_ROOM)
        give_up("the name of a channel is too long");
    return (struct slice){order, (size_t)length};
}
