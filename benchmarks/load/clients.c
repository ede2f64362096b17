#include "clients.h"

#include "base.h"
#include "question.h"
#include "sockets.h"
#include "websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS = 1024, PATIENCE_MS = 10000, READ_SIZE = 1 << 17 };

static const char closed[] = "the connection was closed";

/* --- receiving --- */

static void take_message(struct clients *clients, struct client *client, uint32_t number, uint64_t arrived_ns)
{
    uint64_t bit;

    if (number - clients->round_first >= clients->round_count) {
        clients->unexpected++;
        return;
    }
    if (client->round_first != clients->round_first) {
        client->round_first = clients->round_first;
        client->received_mask = 0;
    }
    bit = 1ull << (number - clients->round_first);
    if (client->received_mask & bit) {
        clients->unexpected++;
        return;
    }
    client->received_mask |= bit;
    clients->received++;
    samples_add(&clients->latencies, arrived_ns - clients->published_at[number]);
}

static void take_messages(struct clients *clients, struct client *client, const char *data, size_t length)
{
    uint64_t arrived_ns = now_ns();
    const char *end = data + length, *mark = data;

    while ((mark = memchr(mark, MESSAGE_MARK, (size_t)(end - mark))) != NULL) {
        char digits[MESSAGE_DIGITS + 1] = {0};

        if (end - mark < STAMP_LENGTH) {
            client->carried = (uint8_t)(end - mark);
            memcpy(client->carry, mark, client->carried);
            return;
        }
        memcpy(digits, mark + 1, MESSAGE_DIGITS);
        take_message(clients, client, (uint32_t)strtoul(digits, NULL, 16), arrived_ns);
        mark += STAMP_LENGTH;
    }
}

static void ask(struct clients *clients, struct client *client)
{
    const struct opening *opening = clients->opening;
    size_t index = (size_t)(client - clients->all);
    char request[512];
    const char *header = opening->header != NULL ? opening->header : "";
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", opening->path,
                          header, *header != '\0' ? "\r\n" : "",
                          opening->are_websockets ? WEBSOCKET_REQUEST_HEADERS : "");

    *client = (struct client){.fd = connect_to(opening->port, index)};
    watch(clients->poller, client->fd, index);
    if (length >= (int)sizeof request || send_fully(client->fd, request, (size_t)length) < 0)
        give_up("cannot send the request for %s", opening->path);
}

/* A server that is overwhelmed at first can still be measured; the refusals count. */
static void ask_again(struct clients *clients, struct client *client, const char *answer, size_t length)
{
    if (++clients->refused > clients->count)
        give_up("clients are refused: %.*s", (int)(length < 300 ? length : 300), answer);
    close(client->fd);
    ask(clients, client);
}

static void take_first_response(struct clients *clients, struct client *client, const char *data, size_t length)
{
    static const char status_line[] = "HTTP/1.1 ";
    const size_t code_at = sizeof status_line - 1;
    const char class = clients->opening->are_websockets ? '1' : '2';
    const char *welcome = clients->opening->welcome;
    const size_t welcome_length = strlen(welcome);

    if (length > code_at && memcmp(data, status_line, code_at) == 0 && data[code_at] != class) {
        ask_again(clients, client, data, length);
        return;
    }
    if (memmem(data, length, welcome, welcome_length) != NULL) {
        client->is_held = true;
        clients->held++;
        return;
    }
    client->carried = (uint8_t)(length < welcome_length - 1 ? length : welcome_length - 1);
    memcpy(client->carry, data + length - client->carried, client->carried);
}

void client_receive(struct clients *clients, struct client *client)
{
    static char buffer[READ_SIZE];
    size_t carried = client->carried;
    ssize_t length = read(client->fd, buffer + carried, sizeof buffer - carried);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        if (!client->is_held) {
            ask_again(clients, client, closed, sizeof closed - 1);
            return;
        }
        close(client->fd);
        client->fd = -1;
        clients->closed++;
        return;
    }
    memcpy(buffer, client->carry, carried);
    client->carried = 0;
    if (client->is_held)
        take_messages(clients, client, buffer, carried + (size_t)length);
    else
        take_first_response(clients, client, buffer, carried + (size_t)length);
}

/* --- opening --- */

static void wait_for_welcome(struct clients *clients)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(clients->poller, events, EVENTS, PATIENCE_MS);

    if (ready == 0)
        give_up("%zu of %zu clients are held, and no other for %d ms", clients->held, clients->count, PATIENCE_MS);
    for (int i = 0; i < ready; i++)
        client_receive(clients, &clients->all[events[i].data.u64]);
}

/* How many long polls the origin has answered. */
static size_t count_polls(int port)
{
    return question_ask(port, "GET /polls", NULL);
}

/* Nothing but a refusal can arrive for a poll before the publish. */
static void take_refusals(struct clients *clients)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(clients->poller, events, EVENTS, 0);

    for (int i = 0; i < ready; i++)
        client_receive(clients, &clients->all[events[i].data.u64]);
}

/* Wait until the origin has counted more polls. Refused ones may be among them, so this is only nearly exact; the
 * publish shows who is held. */
static void wait_for_origin(struct clients *clients, size_t polls_before)
{
    uint64_t deadline_ns = now_ns() + PATIENCE_MS * NS_PER_MS;
    size_t held;

    while ((held = count_polls(clients->opening->origin_port) - polls_before) <= clients->held) {
        if (now_ns() > deadline_ns)
            give_up("the origin has seen %zu of %zu polls, and no other for %d ms", held, clients->count, PATIENCE_MS);
        take_refusals(clients);
        usleep(2000);
    }
    clients->held = held < clients->opened ? held : clients->opened;
}

void clients_open(struct clients *clients, const struct opening *opening)
{
    bool are_polls = opening->origin_port != 0;
    size_t polls_before = are_polls ? count_polls(opening->origin_port) : 0;

    clients->opening = opening;
    clients->count = opening->count;
    clients->all = allocate(clients->count, sizeof *clients->all);
    while (clients->held < clients->count) {
        while (clients->opened < clients->count && clients->opened - clients->held < opening->window)
            ask(clients, &clients->all[clients->opened++]);
        if (are_polls)
            wait_for_origin(clients, polls_before);
        else
            wait_for_welcome(clients);
    }
    for (size_t i = 0; i < clients->count; i++)
        clients->all[i].is_held = true;
}

void clients_close(struct clients *clients)
{
    for (size_t i = 0; i < clients->opened; i++)
        if (clients->all[i].fd >= 0)
            close(clients->all[i].fd);
    free(clients->all);
    clients->all = NULL;
}
