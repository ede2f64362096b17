/* reqload: ask for one URL again and again over keep-alive connections, one request at a time on each.
 *
 *   reqload --port PORT [--path /plain] [--connections 50] [--warmup-requests 500] [--requests 20000] [--seconds 10]
 *           [--pids PID,PID] [--websockets | --post BODY | --vary]
 *
 * With --websockets, each connection becomes a WebSocket, to which the server first says something. After that, what is
 * asked is a message of 100 bytes, and the answer is the same message. With --post, BODY is posted, as JSON. With --vary, a
 * header numbers the requests, so that no two are alike.
 *
 * Ends after that many requests or seconds, whichever comes first, and prints one line of JSON: requests per second,
 * latency percentiles in microseconds, and the CPU time per request of the server's processes (--pids). Any answer that
 * is not 2xx, or not the message, counts as failed.
 */
#include "base.h"
#include "messages.h"
#include "responses.h"
#include "samples.h"
#include "sockets.h"
#include "usage.h"
#include "websocket.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS = 256, REQUEST_ROOM = 1024, MESSAGE_LENGTH = 100, NUMBER_DIGITS = 9, LARGEST_NUMBER = 999999999 };

static const char number_header[] = "X-Number: 000000000\r\n";

struct settings {
    int port;
    const char *path;
    long connections;
    long warmup_requests;
    long requests;
    long seconds;
    bool are_websockets;
    bool are_varied;
    const char *body;               /* NULL: GET */
    struct processes processes;
};

struct connection {
    int fd;
    uint64_t asked_at;
    struct responses responses;     /* or, of a WebSocket: */
    struct messages messages;
};

struct load {
    struct settings settings;
    int poller;
    struct connection *connections;
    char first_request[REQUEST_ROOM], request[REQUEST_ROOM];
    struct slice first, again;      /* what is sent first on a connection, and what is sent from then on */
    char *number;                   /* where in these the digits are that vary; NULL: nowhere */
    uint64_t asked;
    uint64_t answered;
    struct samples latencies;
};

static void make_requests(struct load *load)
{
    static char message[MESSAGE_LENGTH];
    const struct settings *settings = &load->settings;
    const struct slice text = {message, sizeof message};
    int length;

    if (settings->body != NULL)
        length = snprintf(load->first_request, sizeof load->first_request,
                          "POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: reqload\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          settings->path, strlen(settings->body), settings->body);
    else
        length = snprintf(load->first_request, sizeof load->first_request,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: reqload\r\n%s\r\n", settings->path,
                          settings->are_websockets ? WEBSOCKET_REQUEST_HEADERS
                          : settings->are_varied   ? number_header
                                                   : "");
    if (length >= (int)sizeof load->first_request)
        give_up("--path and --post are too long");
    load->first = load->again = (struct slice){load->first_request, (size_t)length};
    if (settings->are_varied)
        load->number = load->first_request + length - 4 - NUMBER_DIGITS;
    if (settings->are_websockets) {
        memset(message, '.', sizeof message);
        load->again = (struct slice){load->request, frame_encode(load->request, OPCODE_TEXT, text, true)};
        for (long i = 0; i < settings->connections; i++)
            load->connections[i].messages.expected = text;
    }
}

static void renumber(struct load *load)
{
    char digits[NUMBER_DIGITS + 1];

    snprintf(digits, sizeof digits, "%0*u", NUMBER_DIGITS, (unsigned)(++load->asked % LARGEST_NUMBER));
    memcpy(load->number, digits, NUMBER_DIGITS);
}

static void ask(struct load *load, struct connection *connection, struct slice request)
{
    if (load->number != NULL)
        renumber(load);
    connection->asked_at = now_ns();
    if (send_fully(connection->fd, request.at, request.length) < 0)
        give_up("the server closed a connection");
}

static void open_connections(struct load *load)
{
    const struct settings *settings = &load->settings;

    load->connections = allocate((uint64_t)settings->connections, sizeof *load->connections);
    make_requests(load);
    for (long i = 0; i < settings->connections; i++) {
        load->connections[i].fd = connect_to(settings->port, (size_t)i);
        watch(load->poller, load->connections[i].fd, (uint64_t)i);
        ask(load, &load->connections[i], load->first);
    }
}

static uint64_t answers(const struct connection *connection)
{
    return connection->responses.complete + connection->messages.complete;
}

/* Take what has arrived on one connection; when that completes the answer, ask again. */
static void receive(struct load *load, struct connection *connection)
{
    static char buffer[1 << 16];
    ssize_t length = read(connection->fd, buffer, sizeof buffer);
    uint64_t before = answers(connection);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0)
        give_up("the server closed a connection after %" PRIu64 " answers", before);
    if (load->settings.are_websockets)
        messages_feed(&connection->messages, buffer, (size_t)length);
    else
        responses_feed(&connection->responses, buffer, (size_t)length);
    if (answers(connection) == before)
        return;
    samples_add(&load->latencies, now_ns() - connection->asked_at);
    load->answered++;
    ask(load, connection, load->again);
}

/* Go on until `requests` more are answered or the time is over. */
static void run(struct load *load, uint64_t requests, uint64_t deadline_ns)
{
    uint64_t enough = load->answered + requests;
    struct epoll_event events[EVENTS];

    while (load->answered < enough && now_ns() < deadline_ns) {
        int ready = epoll_wait(load->poller, events, EVENTS, 100);

        for (int i = 0; i < ready; i++)
            receive(load, &load->connections[events[i].data.u64]);
    }
}

static uint64_t failures(const struct load *load)
{
    uint64_t failed = 0;

    for (long i = 0; i < load->settings.connections; i++)
        failed += load->connections[i].responses.failed + load->connections[i].messages.failed;
    return failed;
}

static void measure(struct load *load)
{
    const struct settings *settings = &load->settings;
    uint64_t duration_ns = (uint64_t)settings->seconds * NS_PER_S;
    uint64_t started_ns, elapsed_ns, cpu_ns;

    open_connections(load);
    run(load, (uint64_t)settings->warmup_requests, now_ns() + duration_ns);
    samples_free(&load->latencies);

    started_ns = now_ns();
    cpu_ns = cpu_used_ns(&settings->processes);
    run(load, (uint64_t)settings->requests, started_ns + duration_ns);
    elapsed_ns = now_ns() - started_ns;
    cpu_ns = cpu_used_ns(&settings->processes) - cpu_ns;

    if (load->latencies.count == 0)
        give_up("no answer in %ld s", settings->seconds);
    printf("{\"connections\": %ld, \"requests\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"seconds\": %.3f, \"requests_per_s\": %.1f, \"cpu_us_per_request\": %.2f, \"latency_us\": ",
           settings->connections, load->latencies.count, failures(load), (double)elapsed_ns / NS_PER_S,
           (double)load->latencies.count * NS_PER_S / (double)elapsed_ns,
           (double)cpu_ns / 1e3 / (double)load->latencies.count);
    samples_print(&load->latencies, stdout);
    puts("}");
}

static struct settings parse_settings(int argc, char **argv)
{
    enum { PORT = 1, PATH, CONNECTIONS, WARMUP, REQUESTS, SECONDS, PIDS, WEBSOCKETS, POST, VARY };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"path", required_argument, NULL, PATH},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"warmup-requests", required_argument, NULL, WARMUP},
        {"requests", required_argument, NULL, REQUESTS},
        {"seconds", required_argument, NULL, SECONDS},
        {"pids", required_argument, NULL, PIDS},
        {"websockets", no_argument, NULL, WEBSOCKETS},
        {"post", required_argument, NULL, POST},
        {"vary", no_argument, NULL, VARY},
        {0},
    };
    struct settings settings = {.path = "/plain", .connections = 50, .warmup_requests = 500, .requests = 20000,
                                .seconds = 10};

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case PORT: settings.port = (int)parse_number("--port", optarg, 1, 65535); break;
        case PATH: settings.path = optarg; break;
        case CONNECTIONS: settings.connections = parse_number("--connections", optarg, 1, 10000); break;
        case WARMUP: settings.warmup_requests = parse_number("--warmup-requests", optarg, 0, 1000000); break;
        case REQUESTS: settings.requests = parse_number("--requests", optarg, 1, 100000000); break;
        case SECONDS: settings.seconds = parse_number("--seconds", optarg, 1, 3600); break;
        case PIDS: settings.processes = parse_processes(optarg); break;
        case WEBSOCKETS: settings.are_websockets = true; break;
        case POST: settings.body = optarg; break;
        case VARY: settings.are_varied = true; break;
        default: give_up("the options are listed at the top of reqload.c");
        }
    }
    if (settings.port == 0)
        give_up("--port is needed");
    return settings;
}

int main(int argc, char **argv)
{
    struct load load = {.settings = parse_settings(argc, argv), .poller = new_poller()};

    allow_files((size_t)load.settings.connections + 64);
    measure(&load);
    return failures(&load) > 0;
}
