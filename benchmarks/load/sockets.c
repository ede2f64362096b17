#include "sockets.h"

#include "base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_PER_ADDRESS = 20000, BACKLOG = 4096 };

void allow_files(size_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        give_up_errno("limit of open files");
    if (limit.rlim_max < wanted)
        give_up("%zu open files are needed, this machine allows %lu per process", wanted,
                (unsigned long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        give_up_errno("limit of open files");
}

static struct sockaddr_in loopback(size_t network, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + ((uint32_t)network << 8));
    return address;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;

    if (setsockopt(fd, level, option, &on, sizeof on) < 0)
        give_up_errno("socket option");
}

int listen_on(int port)
{
    struct sockaddr_in address = loopback(0, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        give_up_errno("socket");
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
        give_up_errno("listen");
    return fd;
}

int connect_to(int port, size_t index)
{
    struct sockaddr_in server = loopback(0, port);
    struct sockaddr_in source = loopback(index / CONNECTIONS_PER_ADDRESS, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        give_up_errno("socket");
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
        give_up_errno("bind");
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        give_up_errno("connect");
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        give_up_errno("fcntl");
    return fd;
}

int send_fully(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

        if (sent >= 0) {
            data += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};

            poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

void watch(int poller, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        give_up_errno("epoll_ctl");
}

int new_poller(void)
{
    int poller = epoll_create1(EPOLL_CLOEXEC);

    if (poller < 0)
        give_up_errno("epoll_create1");
    return poller;
}
