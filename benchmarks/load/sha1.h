/* SHA-1 (FIPS 180-4), for the handshake of WebSockets and nothing else. */
#ifndef SHA1_H
#define SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_LENGTH = 20, SHA1_MAX_INPUT = 119 };

/* The digest of at most SHA1_MAX_INPUT bytes: two blocks, with padding. */
void sha1(const char *data, size_t length, uint8_t digest[SHA1_LENGTH]);

#endif
