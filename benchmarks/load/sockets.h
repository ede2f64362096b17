/* TCP on loopback, and epoll, with errors that end the program. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* Make room for `wanted` open files, or give up saying how many are possible. */
void allow_files(size_t wanted);

/* A non-blocking listening socket on 127.0.0.1. */
int listen_on(int port);

/* A non-blocking client connection to 127.0.0.1:port. An address has some 28,000 ports for its connections to one
 * server, so the source address is chosen by `index`: 127.0.0.1 for the first 20,000, then 127.0.1.1, 127.0.2.1... */
int connect_to(int port, size_t index);

/* Write all of it, waiting where the peer is slow; returns 0, or -1 when the connection is gone. */
int send_fully(int fd, const char *data, size_t length);

/* Watch `fd` for reading in the epoll set; `tag` comes back with its events. */
void watch(int poller, int fd, uint64_t tag);

int new_poller(void);

#endif
