/* holdload: hold many clients on a GRIP proxy, publish to them, and check and measure what arrives.
 *
 *   holdload --port PORT --control-port PORT --clients N [--path /stream?channel=bench] [--channel bench]
 *            [--window 25] [--publish ROUNDSxBURST]... [--size 100] [--idle SECONDS] [--stall SECONDS]
 *            [--leave SECONDS] [--pids PID,PID] [--polls-of ORIGIN-PORT | --websockets | --ids | --events]
 *            [--publish-to PATH] [--welcome welcome] [--header "NAME: VALUE"]
 *
 * The origin behind the proxy must answer PATH with a hold on CHANNEL: as a stream whose first response contains
 * what --welcome says, or, with --polls-of, as a long poll. Then ORIGIN-PORT is the origin's own, where /polls tells
 * how many it has answered, and each client can receive only one message. With --websockets it must accept a WebSocket,
 * subscribe it, and say the same to it. With --ids, each item has an id and names the one before; with --events, its
 * content is a server-sent event. With --publish-to, no GRIP is spoken: messages are posted to PATH as they are. With
 * --header, clients send one more line.
 *
 * Each --publish is a phase of ROUNDS rounds; a round publishes BURST messages at once, each over a connection of its
 * own, and ends when every client has received all of them and every publish is answered. After --stall seconds
 * without progress the missing ones count as lost, and the phase ends.
 *
 * Prints one line of JSON, of which a reader has the idle CPU before the phases begin:
 *   opens_per_s, cpu_us_per_open    holds opened, through the backend
 *   opens_refused                   requests for a hold that got an error, and were made again
 *   memory                          growth of the server's RSS and PSS, in bytes per held client; left_bytes is what
 *                                   remains of the RSS growth --leave seconds after all have closed
 *   idle_cpu_percent                of one core, over --idle seconds in which nothing happens
 *   phases                          for each --publish: rounds made; deliveries, lost and unexpected ones (twice, or
 *                                   too late); publishes refused and not answered; the server's CPU time per
 *                                   delivery; the latency in microseconds, from handing the publish to the kernel
 *                                   until the client has read the message
 * CPU and memory are those of the processes in --pids. The exit status is 1 when anything was lost or refused.
 */
#include "base.h"
#include "clients.h"
#include "publisher.h"
#include "sockets.h"
#include "usage.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PHASES = 8, EVENTS = 1024, TRAILING_WORK_US = 20000 };

struct phase {
    uint32_t rounds;
    uint32_t burst;
};

struct settings {
    struct opening opening;
    int control_port;
    const char *channel;
    const char *publish_path;       /* NULL: the GRIP control port's */
    bool has_ids;
    bool are_events;
    size_t content_size;
    struct phase phases[MAX_PHASES];
    size_t phase_count;
    long idle_s;
    long stall_s;
    long leave_s;
    struct processes processes;
};

struct load {
    struct settings settings;
    struct clients clients;
    struct publisher publisher;
    uint64_t *published_at;
    uint32_t published;
    bool has_failed;
};

/* --- phases --- */

static void handle_events(struct load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(load->clients.poller, events, EVENTS, timeout_ms);

    for (int i = 0; i < ready; i++) {
        uint64_t tag = events[i].data.u64;

        if (tag >= PUBLISHER_TAG)
            publisher_receive(&load->publisher, tag);
        else
            client_receive(&load->clients, &load->clients.all[tag]);
    }
}

/* Wait until that much has arrived: true, or false when nothing did for --stall seconds. */
static bool wait_until(struct load *load, uint64_t received, uint64_t answered)
{
    uint64_t stall_ns = (uint64_t)load->settings.stall_s * NS_PER_S;
    uint64_t progress_ns = now_ns(), progress = 0;

    while (load->clients.received < received || load->publisher.answered < answered) {
        uint64_t total = load->clients.received + load->publisher.answered;

        if (total != progress) {
            progress = total;
            progress_ns = now_ns();
        } else if (now_ns() - progress_ns > stall_ns) {
            return false;
        }
        handle_events(load, 100);
    }
    return true;
}

/* Returns the number of rounds made: all, unless one of them stalled. */
static uint32_t run_rounds(struct load *load, const struct phase *phase)
{
    for (uint32_t round = 1; round <= phase->rounds; round++) {
        uint64_t received = load->clients.received + (uint64_t)phase->burst * load->clients.count;
        uint64_t answered = load->publisher.answered + phase->burst;

        load->clients.round_first = load->published;
        load->clients.round_count = phase->burst;
        publish(&load->publisher, load->published, phase->burst, load->published_at);
        load->published += phase->burst;
        if (!wait_until(load, received, answered))
            return round;
    }
    return phase->rounds;
}

static void run_phase(struct load *load, const struct phase *phase)
{
    struct clients *clients = &load->clients;
    struct publisher *publisher = &load->publisher;
    uint64_t published, expected;
    uint64_t received = clients->received, unexpected = clients->unexpected;
    uint64_t answered = publisher->answered, failed = publisher->failed;
    uint64_t cpu_ns = cpu_used_ns(&load->settings.processes), elapsed_ns = now_ns();
    uint32_t rounds;
    double cpu_us;

    samples_free(&clients->latencies);
    rounds = run_rounds(load, phase);
    elapsed_ns = now_ns() - elapsed_ns;
    usleep(TRAILING_WORK_US);
    cpu_us = (double)(cpu_used_ns(&load->settings.processes) - cpu_ns) / 1e3;

    published = (uint64_t)rounds * phase->burst;
    expected = published * clients->count;
    received = clients->received - received;
    unexpected = clients->unexpected - unexpected;
    answered = publisher->answered - answered;
    failed = publisher->failed - failed;
    printf("{\"rounds\": %u, \"burst\": %u, \"deliveries\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"unexpected\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"unanswered\": %" PRIu64
           ", \"seconds\": %.3f, \"cpu_us_per_delivery\": %.3f, \"latency_us\": ",
           rounds, phase->burst, received, expected - received, unexpected, failed, published - answered,
           (double)elapsed_ns / NS_PER_S, received ? cpu_us / (double)received : 0.0);
    samples_print(&clients->latencies, stdout);
    putchar('}');
    if (received != expected || unexpected || failed || answered != published)
        load->has_failed = true;
}

static void run_phases(struct load *load)
{
    uint64_t messages = 0;

    for (size_t i = 0; i < load->settings.phase_count; i++)
        messages += (uint64_t)load->settings.phases[i].rounds * load->settings.phases[i].burst;
    load->published_at = allocate(messages, sizeof *load->published_at);
    load->clients.published_at = load->published_at;
    printf("\"phases\": [");
    for (size_t i = 0; i < load->settings.phase_count; i++) {
        if (i > 0)
            printf(", ");
        run_phase(load, &load->settings.phases[i]);
    }
    printf("], ");
}

/* --- before and after --- */

static void open_clients(struct load *load)
{
    const struct settings *settings = &load->settings;
    uint64_t cpu_ns = cpu_used_ns(&settings->processes), elapsed_ns = now_ns();
    double count = (double)settings->opening.count;

    clients_open(&load->clients, &settings->opening);
    elapsed_ns = now_ns() - elapsed_ns;
    cpu_ns = cpu_used_ns(&settings->processes) - cpu_ns;
    printf("\"opens_per_s\": %.1f, \"cpu_us_per_open\": %.2f, \"opens_refused\": %zu, ",
           count * NS_PER_S / (double)elapsed_ns, (double)cpu_ns / 1e3 / count, load->clients.refused);
    if (load->clients.refused > 0)
        load->has_failed = true;
}

static void stay_idle(const struct settings *settings)
{
    uint64_t cpu_ns = cpu_used_ns(&settings->processes), elapsed_ns = now_ns();

    if (settings->idle_s == 0)
        return;
    sleep((unsigned)settings->idle_s);
    elapsed_ns = now_ns() - elapsed_ns;
    cpu_ns = cpu_used_ns(&settings->processes) - cpu_ns;
    printf("\"idle_cpu_percent\": %.3f, ", 100.0 * (double)cpu_ns / (double)elapsed_ns);
    fflush(stdout);
}

static void measure(struct load *load)
{
    const struct settings *settings = &load->settings;
    double count = (double)settings->opening.count;
    struct memory before = memory_used(&settings->processes), held, left;

    printf("{\"clients\": %zu, \"size\": %zu, ", settings->opening.count, settings->content_size);
    open_clients(load);
    wait_until_quiet(&settings->processes);
    held = memory_used(&settings->processes);
    stay_idle(settings);
    run_phases(load);
    clients_close(&load->clients);
    sleep((unsigned)settings->leave_s);
    left = memory_used(&settings->processes);
    printf("\"closed\": %zu, \"memory\": {\"rss_bytes\": %.1f, \"pss_bytes\": %.1f, \"left_bytes\": %.1f}}\n",
           load->clients.closed, (double)(held.rss_bytes - before.rss_bytes) / count,
           (double)(held.pss_bytes - before.pss_bytes) / count, (double)(left.rss_bytes - before.rss_bytes) / count);
    if (load->clients.closed > 0 && settings->opening.origin_port == 0)
        load->has_failed = true;
}

/* --- command line --- */

static struct phase parse_phase(const char *text)
{
    struct phase phase;
    char rest;

    if (sscanf(text, "%ux%u%c", &phase.rounds, &phase.burst, &rest) != 2 || phase.burst < 1 ||
        phase.burst > MAX_BURST)
        give_up("--publish: got '%s', expected ROUNDSxBURST, with a burst of up to %d", text, MAX_BURST);
    return phase;
}

static const char *parse_welcome(const char *text)
{
    size_t length = strlen(text);

    if (length < 1 || length > STAMP_LENGTH)
        give_up("--welcome: got '%s', expected 1 to %d bytes", text, STAMP_LENGTH);
    return text;
}

static void add_phase(struct settings *settings, const char *text)
{
    if (settings->phase_count == MAX_PHASES)
        give_up("--publish: at most %d phases", MAX_PHASES);
    settings->phases[settings->phase_count++] = parse_phase(text);
}

static struct settings parse_settings(int argc, char **argv)
{
    enum { PORT = 1, CONTROL_PORT, CLIENTS, PATH, CHANNEL, WINDOW, PUBLISH, SIZE, IDLE, STALL, LEAVE, PIDS, POLLS_OF,
           WEBSOCKETS, IDS, ARE_EVENTS, PUBLISH_TO, WELCOME_TEXT, HEADER };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"control-port", required_argument, NULL, CONTROL_PORT},
        {"clients", required_argument, NULL, CLIENTS},
        {"path", required_argument, NULL, PATH},
        {"channel", required_argument, NULL, CHANNEL},
        {"window", required_argument, NULL, WINDOW},
        {"publish", required_argument, NULL, PUBLISH},
        {"size", required_argument, NULL, SIZE},
        {"idle", required_argument, NULL, IDLE},
        {"stall", required_argument, NULL, STALL},
        {"leave", required_argument, NULL, LEAVE},
        {"pids", required_argument, NULL, PIDS},
        {"polls-of", required_argument, NULL, POLLS_OF},
        {"websockets", no_argument, NULL, WEBSOCKETS},
        {"ids", no_argument, NULL, IDS},
        {"events", no_argument, NULL, ARE_EVENTS},
        {"publish-to", required_argument, NULL, PUBLISH_TO},
        {"welcome", required_argument, NULL, WELCOME_TEXT},
        {"header", required_argument, NULL, HEADER},
        {0},
    };
    struct settings settings = {.opening = {.path = "/stream?channel=bench", .count = 100, .window = 25,
                                            .welcome = WELCOME},
                                .channel = "bench", .content_size = 100, .stall_s = 5};
    struct opening *opening = &settings.opening;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case PORT: opening->port = (int)parse_number("--port", optarg, 1, 65535); break;
        case CONTROL_PORT: settings.control_port = (int)parse_number("--control-port", optarg, 1, 65535); break;
        case CLIENTS: opening->count = (size_t)parse_number("--clients", optarg, 1, 1000000); break;
        case PATH: opening->path = optarg; break;
        case CHANNEL: settings.channel = optarg; break;
        case WINDOW: opening->window = (size_t)parse_number("--window", optarg, 1, 4000); break;
        case PUBLISH: add_phase(&settings, optarg); break;
        case SIZE: settings.content_size = (size_t)parse_number("--size", optarg, STAMP_LENGTH + 1, 60000); break;
        case IDLE: settings.idle_s = parse_number("--idle", optarg, 0, 3600); break;
        case STALL: settings.stall_s = parse_number("--stall", optarg, 1, 3600); break;
        case LEAVE: settings.leave_s = parse_number("--leave", optarg, 0, 3600); break;
        case PIDS: settings.processes = parse_processes(optarg); break;
        case POLLS_OF: opening->origin_port = (int)parse_number("--polls-of", optarg, 1, 65535); break;
        case WEBSOCKETS: opening->are_websockets = true; break;
        case IDS: settings.has_ids = true; break;
        case ARE_EVENTS: settings.are_events = true; break;
        case PUBLISH_TO: settings.publish_path = optarg; break;
        case WELCOME_TEXT: opening->welcome = parse_welcome(optarg); break;
        case HEADER: opening->header = optarg; break;
        default: give_up("the options are listed at the top of holdload.c");
        }
    }
    if (opening->port == 0 || (settings.control_port == 0 && settings.phase_count > 0))
        give_up("--port is needed, and --control-port to publish");
    return settings;
}

static enum item_format item_format(const struct settings *settings)
{
    if (settings->publish_path != NULL)
        return PLAIN;
    if (settings->opening.are_websockets)
        return WS_MESSAGE;
    if (settings->opening.origin_port != 0)
        return HTTP_RESPONSE;
    return settings->are_events ? HTTP_EVENT : HTTP_STREAM;
}

int main(int argc, char **argv)
{
    struct load load = {.settings = parse_settings(argc, argv)};
    const struct settings *settings = &load.settings;
    int poller = new_poller();

    allow_files(settings->opening.count + PUBLISHER_CONNECTIONS + 64);
    load.clients.poller = poller;
    load.publisher = (struct publisher){.poller = poller, .port = settings->control_port,
                                        .channel = settings->channel, .content_size = settings->content_size,
                                        .format = item_format(settings),
                                        .path = settings->publish_path != NULL ? settings->publish_path : PUBLISH_PATH,
                                        .has_ids = settings->has_ids};
    measure(&load);
    return load.has_failed;
}
