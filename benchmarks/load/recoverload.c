/* recoverload: make many streams ask their next link at once, and see what that costs the backend and everybody else.
 *
 *   recoverload --port PORT --control-port PORT --origin-port PORT --clients N [--window 25] [--rounds 5]
 *               [--seconds 3] [--stall SECONDS] [--pids PID,PID]
 *
 * All clients hold /linked?channel=linked, so all have the same next link. Two things make them ask it, each in ROUNDS
 * rounds, but no round begins after SECONDS seconds:
 *   recover   POST /recover at the control port
 *   gap       an item is published whose prev-id nobody has
 * A round ends when every client has the answer of the next link; after --stall seconds without progress the missing
 * answers count as lost, and there are no more rounds. Meanwhile a bystander, held on another channel, gets a message
 * every 10 ms.
 *
 * Prints one line of JSON. For each of the two: rounds made; the most requests that the backend got in one; on average
 * the milliseconds until the last client had its answer, and the server's CPU time per client; answers lost, and
 * unexpected ones; the bystander's messages lost or unexpected, and publishes refused; its latency in microseconds, from
 * handing the publish to the kernel until the message is read, for messages published during the rounds. The exit status
 * is 1 when anything was lost.
 */
#include "base.h"
#include "bystander.h"
#include "clients.h"
#include "question.h"
#include "sockets.h"
#include "usage.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BYSTANDER_TAG (2ull << 32)

enum { EVENTS = 64, MAX_ROUNDS = 1000, PAUSE_MS = 200 };

struct settings {
    struct opening opening;
    int control_port;
    int origin_port;
    long rounds;
    long seconds;
    long stall_s;
    struct processes processes;
};

struct load {
    struct settings settings;
    struct clients clients;
    struct bystander bystander;
    uint64_t begun_at[2 * MAX_ROUNDS + 1]; /* by the id that the next link has then */
    uint32_t id;
    bool has_failed;
};

/* Sums over the rounds of one kind, but for the most. */
struct outcome {
    uint32_t rounds;
    uint64_t most_requests;
    uint64_t elapsed_ns;
    uint64_t cpu_ns;
    uint64_t lost;
    uint64_t bystander_lost;
};

/* What makes the clients ask: sent to the control port. Returns the connection. */
typedef int (*trigger)(const struct load *load);

static int post_recover(const struct load *load)
{
    return question_send(load->settings.control_port, "POST /recover", NULL);
}

static int publish_gap(const struct load *load)
{
    static const char format[] = "{\"items\": [{\"channel\": \"linked\", \"id\": \"" ID_FORMAT "\", \"prev-id\": \"gap\","
                                 " \"formats\": {\"http-stream\": {\"content\": \"not sent\"}}}]}";
    char body[sizeof format + MESSAGE_DIGITS];

    snprintf(body, sizeof body, format, load->id);
    return question_send(load->settings.control_port, "POST /publish/", body);
}

/* Few events at a time: the bystander's own must not wait here. */
static void handle_events(struct load *load)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(load->clients.poller, events, EVENTS, 1);

    bystander_go_on(&load->bystander);
    for (int i = 0; i < ready; i++)
        if (events[i].data.u64 != BYSTANDER_TAG)
            client_receive(&load->clients, &load->clients.all[events[i].data.u64]);
}

/* Wait until that many answers have arrived, or none for --stall seconds. */
static void wait_for_answers(struct load *load, uint64_t enough)
{
    uint64_t stall_ns = (uint64_t)load->settings.stall_s * NS_PER_S;
    uint64_t progress_ns = now_ns(), progress = 0;

    while (load->clients.received < enough && now_ns() - progress_ns <= stall_ns) {
        handle_events(load);
        if (load->clients.received != progress) {
            progress = load->clients.received;
            progress_ns = now_ns();
        }
    }
}

static void rest_a_while(struct load *load)
{
    uint64_t end_ns = now_ns() + PAUSE_MS * NS_PER_MS;

    while (now_ns() < end_ns)
        handle_events(load);
}

static unsigned long count_requests(const struct load *load)
{
    return question_ask(load->settings.origin_port, "GET /links", NULL);
}

static void run_round(struct load *load, trigger pull, struct outcome *outcome)
{
    struct clients *clients = &load->clients;
    uint64_t enough = clients->received + clients->count, requests = count_requests(load);
    uint64_t cpu_ns;
    char target[64];
    int trigger_fd;

    snprintf(target, sizeof target, "GET /latest?" ID_FORMAT, ++load->id);
    question_ask(load->settings.origin_port, target, NULL);
    clients->round_first = load->id;
    clients->round_count = 1;
    rest_a_while(load);

    bystander_begin(&load->bystander);
    cpu_ns = cpu_used_ns(&load->settings.processes);
    load->begun_at[load->id] = now_ns();
    trigger_fd = pull(load);
    wait_for_answers(load, enough);
    outcome->elapsed_ns += now_ns() - load->begun_at[load->id];
    outcome->cpu_ns += cpu_used_ns(&load->settings.processes) - cpu_ns;
    outcome->bystander_lost += bystander_end(&load->bystander);

    question_answer(trigger_fd);
    outcome->lost += enough - clients->received;
    requests = count_requests(load) - requests;
    if (requests > outcome->most_requests)
        outcome->most_requests = requests;
    outcome->rounds++;
}

static void run_rounds(struct load *load, const char *name, trigger pull)
{
    uint64_t deadline_ns = now_ns() + (uint64_t)load->settings.seconds * NS_PER_S;
    uint64_t unexpected = load->clients.unexpected;
    struct outcome outcome = {0};
    double answers;

    samples_free(&load->bystander.latencies);
    while (outcome.rounds < load->settings.rounds && now_ns() < deadline_ns && outcome.lost == 0)
        run_round(load, pull, &outcome);
    answers = (double)outcome.rounds * (double)load->clients.count;
    unexpected = load->clients.unexpected - unexpected;
    outcome.bystander_lost += load->bystander.unexpected + load->bystander.publisher.failed;
    load->bystander.unexpected = load->bystander.publisher.failed = 0;
    if (outcome.lost || unexpected || outcome.bystander_lost)
        load->has_failed = true;
    printf("\"%s\": {\"rounds\": %u, \"most_requests\": %" PRIu64 ", \"last_ms\": %.2f, \"cpu_us_per_client\": %.2f, "
           "\"lost\": %" PRIu64 ", \"unexpected\": %" PRIu64 ", \"bystander_lost\": %" PRIu64 ", \"bystander_us\": ",
           name, outcome.rounds, outcome.most_requests, (double)outcome.elapsed_ns / 1e6 / outcome.rounds,
           (double)outcome.cpu_ns / 1e3 / answers, outcome.lost, unexpected, outcome.bystander_lost);
    samples_print(&load->bystander.latencies, stdout);
    printf("}");
}

static void measure(struct load *load)
{
    load->clients.published_at = load->begun_at;
    clients_open(&load->clients, &load->settings.opening);
    wait_until_quiet(&load->settings.processes);
    bystander_open(&load->bystander, load->settings.opening.port, load->settings.control_port);
    watch(load->clients.poller, load->bystander.poller, BYSTANDER_TAG);
    printf("{\"clients\": %zu, ", load->clients.count);
    run_rounds(load, "recover", post_recover);
    printf(", ");
    run_rounds(load, "gap", publish_gap);
    puts("}");
    clients_close(&load->clients);
}

static struct settings parse_settings(int argc, char **argv)
{
    enum { PORT = 1, CONTROL_PORT, ORIGIN_PORT, CLIENTS, WINDOW, ROUNDS, SECONDS, STALL, PIDS };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"control-port", required_argument, NULL, CONTROL_PORT},
        {"origin-port", required_argument, NULL, ORIGIN_PORT},
        {"clients", required_argument, NULL, CLIENTS},
        {"window", required_argument, NULL, WINDOW},
        {"rounds", required_argument, NULL, ROUNDS},
        {"seconds", required_argument, NULL, SECONDS},
        {"stall", required_argument, NULL, STALL},
        {"pids", required_argument, NULL, PIDS},
        {0},
    };
    struct settings settings = {.opening = {.path = "/linked?channel=linked", .welcome = WELCOME,
                                            .count = 100, .window = 25},
                                .rounds = 5, .seconds = 3, .stall_s = 5};
    struct opening *opening = &settings.opening;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case PORT: opening->port = (int)parse_number("--port", optarg, 1, 65535); break;
        case CONTROL_PORT: settings.control_port = (int)parse_number("--control-port", optarg, 1, 65535); break;
        case ORIGIN_PORT: settings.origin_port = (int)parse_number("--origin-port", optarg, 1, 65535); break;
        case CLIENTS: opening->count = (size_t)parse_number("--clients", optarg, 1, 1000000); break;
        case WINDOW: opening->window = (size_t)parse_number("--window", optarg, 1, 4000); break;
        case ROUNDS: settings.rounds = parse_number("--rounds", optarg, 1, MAX_ROUNDS); break;
        case SECONDS: settings.seconds = parse_number("--seconds", optarg, 1, 3600); break;
        case STALL: settings.stall_s = parse_number("--stall", optarg, 1, 3600); break;
        case PIDS: settings.processes = parse_processes(optarg); break;
        default: give_up("the options are listed at the top of recoverload.c");
        }
    }
    if (opening->port == 0 || settings.control_port == 0 || settings.origin_port == 0)
        give_up("--port, --control-port and --origin-port are needed");
    return settings;
}

int main(int argc, char **argv)
{
    static struct load load;

    load.settings = parse_settings(argc, argv);
    load.clients.poller = new_poller();
    allow_files(load.settings.opening.count + PUBLISHER_CONNECTIONS + 64);
    measure(&load);
    return load.has_failed;
}
