/* How a published message is recognised where it arrives: MARK and its number in hexadecimal digits. What a next link
 * answers is recognised in the same way, by the latest id. */
#ifndef MESSAGE_H
#define MESSAGE_H

/* Must not be the length of a message, which stands before it where it is a WebSocket's: 64 bytes. */
#define MESSAGE_MARK '@'

enum { MESSAGE_DIGITS = 8, STAMP_LENGTH = 1 + MESSAGE_DIGITS };

/* What the origin says to a client that is held. */
#define WELCOME "welcome"

/* For printf, with a uint32_t. */
#define ID_FORMAT "%08x"

/* For printf, with MESSAGE_MARK and a uint32_t. */
#define STAMP_FORMAT "%c" ID_FORMAT

/* The id before that of the first item. */
#define FIRST_ID "00000000"

#endif
