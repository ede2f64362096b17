#include "sha1.h"

#include "base.h"

#include <string.h>

enum { BLOCK = 64, ROUNDS = 80, WORDS = SHA1_LENGTH / 4 };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static uint32_t load_word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_word(uint8_t *bytes, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* The function and the constant of a round. */
static uint32_t mix(int round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0: return ((b & c) | (~b & d)) + 0x5a827999;
    case 1: return (b ^ c ^ d) + 0x6ed9eba1;
    case 2: return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    default: return (b ^ c ^ d) + 0xca62c1d6;
    }
}

static void add_block(uint32_t state[WORDS], const uint8_t *block)
{
    uint32_t schedule[ROUNDS], now[WORDS];

    for (int i = 0; i < 16; i++)
        schedule[i] = load_word(block + 4 * i);
    for (int i = 16; i < ROUNDS; i++)
        schedule[i] = rotate(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1);
    memcpy(now, state, sizeof now);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(now[0], 5) + mix(i, now[1], now[2], now[3]) + now[4] + schedule[i];

        memmove(now + 1, now, sizeof now - sizeof *now);
        now[0] = next;
        now[2] = rotate(now[2], 30);
    }
    for (int i = 0; i < WORDS; i++)
        state[i] += now[i];
}

void sha1(const char *data, size_t length, uint8_t digest[SHA1_LENGTH])
{
    uint32_t state[WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t blocks[2 * BLOCK] = {0};
    size_t used = length + 9 <= BLOCK ? BLOCK : 2 * BLOCK; /* 0x80 and the length in bits have to fit in */

    if (length > SHA1_MAX_INPUT)
        give_up("sha1: %zu bytes are too many", length);
    memcpy(blocks, data, length);
    blocks[length] = 0x80;
    store_word(blocks + used - 4, (uint32_t)length * 8);
    for (size_t at = 0; at < used; at += BLOCK)
        add_block(state, blocks + at);
    for (int i = 0; i < WORDS; i++)
        store_word(digest + 4 * i, state[i]);
}
