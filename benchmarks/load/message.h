/* How a published message is recognised where it arrives: MARK and its number in hexadecimal digits. */
#ifndef MESSAGE_H
#define MESSAGE_H

#define MESSAGE_MARK '@'

enum { MESSAGE_DIGITS = 8, STAMP_LENGTH = 1 + MESSAGE_DIGITS };

/* For printf, with MESSAGE_MARK and a uint32_t. */
#define STAMP_FORMAT "%c%08x"

#endif
