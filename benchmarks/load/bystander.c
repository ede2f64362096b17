#include "bystander.h"

#include "base.h"
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS = 64, LAST_PATIENCE_MS = 1000 };

void bystander_open(struct bystander *bystander, int port, int control_port)
{
    bystander->poller = new_poller();
    bystander->opening = (struct opening){.port = port, .path = "/stream?channel=bystander",
                                          .welcome = WELCOME, .count = 1, .window = 1};
    bystander->clients.poller = bystander->poller;
    clients_open(&bystander->clients, &bystander->opening);
    bystander->publisher = (struct publisher){.poller = bystander->poller, .port = control_port, .path = PUBLISH_PATH,
                                              .channel = "bystander", .content_size = 100, .format = HTTP_STREAM};
    bystander->due_ns = now_ns();
}

/* In any order: while the server is slow, each publish has a connection of its own. */
static void take_message(struct bystander *bystander, uint32_t number, uint64_t arrived_ns)
{
    if (number >= bystander->published || bystander->has_received[number]) {
        bystander->unexpected++;
        return;
    }
    bystander->has_received[number] = true;
    bystander->received++;
    if (number >= bystander->counted_from && number < bystander->counted_to)
        samples_add(&bystander->latencies, arrived_ns - bystander->published_at[number]);
}

static void receive(struct bystander *bystander)
{
    char buffer[STAMP_LENGTH + BYSTANDER_READ];
    const char *mark = buffer, *end;
    ssize_t length = read(bystander->clients.all[0].fd, buffer + bystander->carried, BYSTANDER_READ);
    uint64_t arrived_ns = now_ns();

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0)
        give_up("the bystander's connection was closed");
    memcpy(buffer, bystander->carry, bystander->carried);
    end = buffer + bystander->carried + length;
    bystander->carried = 0;
    while ((mark = memchr(mark, MESSAGE_MARK, (size_t)(end - mark))) != NULL) {
        char digits[MESSAGE_DIGITS + 1] = {0};

        if (end - mark < STAMP_LENGTH) {
            bystander->carried = (size_t)(end - mark);
            memcpy(bystander->carry, mark, bystander->carried);
            return;
        }
        memcpy(digits, mark + 1, MESSAGE_DIGITS);
        take_message(bystander, (uint32_t)strtoul(digits, NULL, 16), arrived_ns);
        mark += STAMP_LENGTH;
    }
}

static void publish_next(struct bystander *bystander)
{
    if (bystander->published == BYSTANDER_MESSAGES)
        give_up("the measurement takes too long for the bystander");
    publish(&bystander->publisher, bystander->published++, 1, bystander->published_at);
    bystander->due_ns += BYSTANDER_INTERVAL_MS * NS_PER_MS;
}

void bystander_go_on(struct bystander *bystander)
{
    struct epoll_event events[EVENTS];
    int ready;

    while (now_ns() >= bystander->due_ns)
        publish_next(bystander);
    ready = epoll_wait(bystander->poller, events, EVENTS, 0);
    for (int i = 0; i < ready; i++) {
        if (events[i].data.u64 >= PUBLISHER_TAG)
            publisher_receive(&bystander->publisher, events[i].data.u64);
        else
            receive(bystander);
    }
}

void bystander_begin(struct bystander *bystander)
{
    bystander->counted_from = bystander->published;
    bystander->counted_to = UINT32_MAX;
}

uint32_t bystander_end(struct bystander *bystander)
{
    uint64_t deadline_ns = now_ns() + LAST_PATIENCE_MS * NS_PER_MS;
    uint32_t published = bystander->counted_to = bystander->published;

    while (bystander->received < bystander->published && now_ns() < deadline_ns) {
        bystander_go_on(bystander);
        usleep(100);
    }
    return bystander->received < published ? published - bystander->received : 0;
}
